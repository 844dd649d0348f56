"""The computer's memory and its limits for this program.

In a container or a session with a limit, the kernel's control groups say how much of
the memory is ours; a program that asks for more is killed. Both versions of their
files are read, in every folder from our own group up to the root.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from app.core.machine import Space
from app.devices.pci import read_int, read_text


@dataclass(frozen=True, slots=True)
class _Files:
    """Names of the files of one version of control groups."""

    mount: str
    limit: str
    used: str
    cache: str
    """Line of memory.stat: file contents that the kernel drops when memory is short."""


_V1 = _Files(
    "sys/fs/cgroup/memory",
    "memory.limit_in_bytes",
    "memory.usage_in_bytes",
    "total_inactive_file",
)
_V2 = _Files("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file")


def memory(root: Path = Path("/")) -> Space:
    """All memory, and what a program can have of it now without driving others out."""
    now = psutil.virtual_memory()
    total, free = int(now.total), int(now.available)
    for limit, left in _limits(root):
        total, free = min(total, limit), min(free, left)
    return Space("Memory", total, max(0, free))


def _limits(root: Path) -> Iterator[tuple[int, int]]:
    """Limit and what is left under it, of every control group that we are in."""
    for files, group in _groups(root):
        for folder in group_folders(root / files.mount, group):
            limit = read_int(folder / files.limit)
            used = read_int(folder / files.used)
            if limit is not None and used is not None:  # "max" is no number
                yield limit, limit - used + _cache(folder, files.cache)


def _groups(root: Path) -> Iterator[tuple[_Files, str]]:
    for controllers, group in own_groups(root):
        if not controllers:
            yield _V2, group
        elif "memory" in controllers.split(","):
            yield _V1, group


def own_groups(root: Path) -> Iterator[tuple[str, str]]:
    """Controllers, empty for version 2, and path of each control group of this process."""
    for line in read_text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        yield controllers, group


def group_folders(mount: Path, group: str) -> list[Path]:
    """Folders of a group and of all above it that are visible here.

    A container often sees its own group as the root while the path is the host's; then
    only the root is there.
    """
    inside = Path(*(part for part in group.split("/") if part not in {"", ".."}))
    return [mount / folder for folder in (inside, *inside.parents) if (mount / folder).is_dir()]


def _cache(folder: Path, name: str) -> int:
    for line in read_text(folder / "memory.stat").splitlines():
        key, _, value = line.partition(" ")
        if key == name and value.isdigit():
            return int(value)
    return 0


def unified(own: Space, lent: Space, ram: Space) -> tuple[Space, bool]:
    """Memory of graphics that are part of a processor, and whether it is the computer's.

    The firmware takes a part of the memory away for the graphics (`own`), and the driver
    lends them more of the rest (`lent`), which programs may need, too. Where the part taken
    away is the larger one, it is what models are put in, like a card's own memory.
    """
    if own.total >= lent.total:
        return own, False
    free = own.free + min(lent.free, ram.free)
    return Space("", own.total + lent.total, free), True
