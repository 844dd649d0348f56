"""What PyTorch can use here.

Which accelerators a copy of PyTorch was built for is told by its version alone, without
loading it. Whether they work is told by `examine`, which loads it and computes something
on each; that belongs in a process of its own, because a broken driver can end it.
"""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass
from importlib import metadata
from typing import Any

VENDORS = {"cuda": "nvidia", "rocm": "amd", "xpu": "intel", "mps": "apple"}
"""Whose cards each build of PyTorch uses."""

_TROUBLE = (RuntimeError, OSError, ImportError, AttributeError, AssertionError, ValueError)
"""What torch raises: drivers, missing libraries, half installed packages."""

_CPU_ONLY = (
    "PyTorch here was built for the processor only: graphics cards are not used to convert models."
)


@dataclass(frozen=True, slots=True)
class Tried:
    """One device, and whether it computed."""

    device: str
    name: str
    works: bool
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Examined:
    """What was found; a document for `--json`."""

    version: str
    """Of PyTorch; empty where there is none."""
    build: str
    """"cpu", or a key of `VENDORS`; empty where there is none."""
    devices: tuple[Tried, ...] = ()
    problems: tuple[str, ...] = ()


def build(
    version: str | None = None, system: str = sys.platform, machine: str | None = None
) -> str:
    """What the installed PyTorch was built for: "cpu", a key of `VENDORS`, or "" for none.

    The version says it: 2.13.0+cpu, +cu130, +rocm7.2, +xpu. Without such an ending it is
    the Python package index's own choice, which differs by system.
    """
    if version is None:
        try:
            version = metadata.version("torch")
        except metadata.PackageNotFoundError:
            return ""
    ending = version.partition("+")[2]
    for start, kind in (("cpu", "cpu"), ("cu", "cuda"), ("rocm", "rocm"), ("xpu", "xpu")):
        if ending.startswith(start):
            return kind
    if system == "darwin":
        return "mps" if (machine or platform.machine()) == "arm64" else "cpu"
    return "cuda" if system == "linux" else "cpu"


def accelerators() -> tuple[str, ...]:
    """The accelerators that PyTorch can use, as "cuda:0"."""
    import torch

    found: list[str] = []
    if torch.cuda.is_available():
        found += [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        found.append("mps:0")
    if torch.xpu.is_available():
        found += [f"xpu:{index}" for index in range(torch.xpu.device_count())]
    return tuple(found)


def examine() -> Examined:
    """Load PyTorch and compute something on every device it offers."""
    kind = build()
    if not kind:
        return Examined("", "", problems=("PyTorch is not installed.",))
    try:
        import torch

        devices = accelerators()
    except _TROUBLE as error:
        sentence = f"PyTorch is installed but does not start: {_first_line(error)}"
        return Examined(metadata.version("torch"), kind, problems=(sentence,))
    tried = tuple(_try(torch, device) for device in ("cpu", *devices))
    return Examined(torch.__version__, kind, tried, _missing(kind, devices))


def _missing(kind: str, devices: tuple[str, ...]) -> tuple[str, ...]:
    if devices:
        return ()
    if kind == "cpu":
        return (_CPU_ONLY,)
    maker = {"nvidia": "NVIDIA", "amd": "AMD", "intel": "Intel", "apple": "Apple"}[VENDORS[kind]]
    return (f"PyTorch here was built for graphics by {maker}, and finds none that it can use.",)


def _try(torch: Any, device: str) -> Tried:
    """One product of small matrices, whose answer is known."""
    try:
        name = _device_name(torch, device)
        problem = _too_old_or_new(torch, device, name)
        if problem:
            return Tried(device, name, works=False, problem=problem)
        ones = torch.ones((16, 16), device=device)
        if float((ones @ ones).sum()) != 16**3:
            return Tried(device, name, works=False, problem=f"{name} computes wrong results.")
    except _TROUBLE as error:
        said = f"{device} does not compute: {_first_line(error)}"
        return Tried(device, device, works=False, problem=said)
    return Tried(device, name, works=True)


def _device_name(torch: Any, device: str) -> str:
    kind = device.partition(":")[0]
    if kind in {"cuda", "xpu"}:
        return str(getattr(torch, kind).get_device_name(device))
    return {"mps": "Apple graphics", "cpu": "Processor"}[kind]


def _too_old_or_new(torch: Any, device: str, name: str) -> str:
    """Whether this build has code for an NVIDIA card's generation; a sentence if not.

    Binary code runs on later cards of the same major version; "compute" entries are
    translated by the driver for anything newer.
    """
    if not device.startswith("cuda") or torch.version.hip:
        return ""
    major, minor = torch.cuda.get_device_capability(device)
    for entry in torch.cuda.get_arch_list():
        kind, _, digits = entry.partition("_")
        have = "".join(letter for letter in digits if letter.isdigit())  # sm_90a
        built = (int(have[:-1]), int(have[-1]))
        if kind == "compute" and built <= (major, minor):
            return ""
        if kind == "sm" and built[0] == major and built[1] <= minor:
            return ""
    return (
        f"This PyTorch has no code for {name} (compute capability {major}.{minor}): "
        "the card is too old or too new for it."
    )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
