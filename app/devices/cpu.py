"""The processor: its name, its cores, and the instruction sets that matter for models."""

from __future__ import annotations

import ctypes
import math
import os
import platform
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from app.core.machine import Cpu
from app.devices.memory import group_folders, own_groups
from app.devices.pci import read_int, read_text
from app.devices.sysctl import Sysctl, number, sysctl, text

_LINUX = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx_vnni": "AVX-VNNI",
    "avx512_vnni": "AVX-512 VNNI",
    "avx512_bf16": "AVX-512 BF16",
    "amx_int8": "AMX",
    "asimd": "NEON",
    "asimddp": "DOTPROD",
    "i8mm": "I8MM",
    "bf16": "BF16",
    "sve": "SVE",
    "sme": "SME",
}
"""Words of "flags" (x86) and "Features" (ARM) in /proc/cpuinfo."""

_MAC = {
    "hw.optional.avx2_0": "AVX2",
    "hw.optional.avx512f": "AVX-512",
    "hw.optional.AdvSIMD": "NEON",
    "hw.optional.arm.FEAT_DotProd": "DOTPROD",
    "hw.optional.arm.FEAT_I8MM": "I8MM",
    "hw.optional.arm.FEAT_BF16": "BF16",
    "hw.optional.arm.FEAT_SME": "SME",
}

_WINDOWS = {40: "AVX2", 41: "AVX-512", 19: "NEON", 43: "DOTPROD"}
"""PF_* numbers of IsProcessorFeaturePresent; it has none for VNNI and AMX."""


def processor(root: Path = Path("/"), ask: Sysctl = sysctl, system: str = sys.platform) -> Cpu:
    """The processor; threads are those that this program may run at once."""
    if system == "linux":
        info = _cpuinfo(root)
        name, features = _linux_name(root, info), _linux_features(info)
    elif system == "darwin":
        name = text(ask("machdep.cpu.brand_string"))
        features = tuple(word for key, word in _MAC.items() if number(ask(key)))
    else:
        name, features = _windows_name(), _windows_features()
    threads = _threads(root)
    cores = psutil.cpu_count(logical=False) or 0
    return Cpu(name or platform.machine(), min(cores, threads), threads, features)


def _cpuinfo(root: Path) -> dict[str, str]:
    """The first processor's lines."""
    lines = read_text(root / "proc/cpuinfo").partition("\n\n")[0].splitlines()
    pairs = (line.partition(":") for line in lines)
    return {key.strip(): value.strip() for key, _, value in pairs}


def _linux_name(root: Path, info: Mapping[str, str]) -> str:
    """ARM's kernels tell no name of the processor, but boards have one."""
    board = read_text(root / "sys/firmware/devicetree/base/model").rstrip("\0")
    return re.sub(r"\s+", " ", info.get("model name", "")) or board


def _linux_features(info: Mapping[str, str]) -> tuple[str, ...]:
    words = set((info.get("flags") or info.get("Features", "")).split())
    return tuple(name for word, name in _LINUX.items() if word in words)


def _threads(root: Path) -> int:
    """Logical processors that we may use: fewer than there are in many containers."""
    allowed = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    return max(1, min([allowed, *(math.ceil(share) for share in _quotas(root))]))


def _quotas(root: Path) -> Iterator[float]:
    """Processors' worth of time that each control group may spend."""
    for controllers, group in own_groups(root):
        if not controllers:
            for folder in group_folders(root / "sys/fs/cgroup", group):
                quota, _, period = read_text(folder / "cpu.max").partition(" ")
                if quota.isdigit() and period.isdigit():
                    yield int(quota) / int(period)
        elif "cpu" in controllers.split(","):
            mount = next(
                (
                    place
                    for name in ("cpu,cpuacct", "cpu")
                    if (place := root / "sys/fs/cgroup" / name).is_dir()
                ),
                root / "sys/fs/cgroup/cpu",
            )
            for folder in group_folders(mount, group):
                limit = read_int(folder / "cpu.cfs_quota_us") or -1
                span = read_int(folder / "cpu.cfs_period_us") or 0
                if limit > 0 and span > 0:
                    yield limit / span


def _windows_name() -> str:
    if sys.platform == "win32":
        import winreg

        place = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"
        try:
            with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, place) as key:
                return str(winreg.QueryValueEx(key, "ProcessorNameString")[0]).strip()
        except OSError:
            pass
    return platform.processor()


def _windows_features() -> tuple[str, ...]:
    if sys.platform == "win32":
        present = ctypes.windll.kernel32.IsProcessorFeaturePresent
        return tuple(name for feature, name in _WINDOWS.items() if present(feature))
    return ()
