"""The machine's hardware, one file per vendor, without torch."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import psutil

from app.core.discover import discover
from app.core.machine import Cpu, Machine, Space
from app.devices.base import Vendor

VENDORS = discover(__name__, Vendor)
"""Every graphics vendor's class by its name."""


def look(folder: Path) -> Machine:
    """Find out what this computer has; `folder` names the disk that matters."""
    memory = psutil.virtual_memory()
    disk = psutil.disk_usage(str(folder))
    cpu = Cpu(
        _cpu_name(), psutil.cpu_count(logical=False) or 0, psutil.cpu_count(logical=True) or 1
    )
    return Machine(
        cpu=cpu,
        memory=Space("Memory", memory.total, memory.available),
        gpus=tuple(gpu for vendor in VENDORS.values() for gpu in vendor().probe()),
        disks=(Space(str(folder), disk.total, disk.free),),
    )


def _cpu_name() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
