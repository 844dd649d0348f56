"""A description of the computer that can be shown to anybody."""

from __future__ import annotations

import getpass
import platform
import re
from importlib import metadata
from pathlib import Path

from app import __version__
from app.core import words
from app.core.machine import Gpu, Machine, Space

_PACKAGES = ("torch", "numba", "numpy", "transformers", "PySide6-Essentials", "nvidia-ml-py")


def diagnostics(machine: Machine) -> str:
    """Versions and hardware as text, without names of people, folders or single devices.

    Disks are numbered, as the places where they are mounted are often called after their
    owners, and readings know no serial number in the first place.
    """
    cpu = machine.cpu
    lines = [
        f"Nibble {__version__}, Python {platform.python_version()}",
        f"{platform.system()} {platform.release()} ({platform.machine()})",
        ", ".join(f"{name} {_version(name)}" for name in _PACKAGES),
        f"Processor: {cpu.name}, {cpu.cores or '?'} cores, {cpu.threads} threads",
        f"  {', '.join(cpu.features) or 'no special instructions'}",
        f"Memory: {_space(machine.memory)}",
        *(f"Graphics: {_card(gpu)}" for gpu in machine.gpus),
        *(f"Disk {place}: {_disk(disk)}" for place, disk in enumerate(machine.disks, 1)),
        *(f"Problem: {problem}" for problem in machine.problems),
    ]
    if machine.simulated:
        lines.insert(0, f"Imagined computer: {machine.simulated}")
    return _private("\n".join(lines))


def _card(gpu: Gpu) -> str:
    parts = [gpu.name, _space(Space(gpu.name, gpu.total, gpu.free))]
    parts += ["shared with the computer"] if gpu.shared else []
    parts += [f"driver {gpu.driver}"] if gpu.driver else []
    parts += (
        [f"compute capability {gpu.capability[0]}.{gpu.capability[1]}"] if gpu.capability else []
    )
    return ", ".join([*parts, gpu.device or "not for conversions"])


def _space(space: Space) -> str:
    return f"{words.memory(space.free)} of {words.memory(space.total)} free"


def _disk(disk: Space) -> str:
    return f"{words.size(disk.free)} of {words.size(disk.total)} free"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "absent"


def _private(text: str) -> str:
    """Without the user's folder and name, should a driver's message have them."""
    text = text.replace(str(Path.home()), "~")
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # an account without a name
        return text
    return re.sub(rf"(?<![\w-]){re.escape(user)}(?![\w-])", "user", text)
