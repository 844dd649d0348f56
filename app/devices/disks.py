"""The disks that a model can be put on, each once."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import psutil

from app.core.machine import Space

_NOT_DISKS = {"squashfs", "iso9660", "udf", "tmpfs", "devtmpfs", "overlay", "efivarfs"}
_NOT_FOR_FILES = ("/snap/", "/var/lib/snapd/", "/boot", "/efi", "/nix/store", "/System/Volumes/")


class Mount(NamedTuple):
    """A mounted file system, in the words of psutil."""

    device: str
    mountpoint: str
    fstype: str = ""
    opts: str = ""
    """Separated by commas."""


def mounts() -> list[Mount]:
    """What this system has mounted from disks of its own, without the network's."""
    try:
        return [
            Mount(entry.device, entry.mountpoint, entry.fstype, entry.opts)
            for entry in psutil.disk_partitions()
        ]
    except OSError:
        return []


def disks(folder: Path, mounted: Iterable[Mount] | None = None) -> tuple[Space, ...]:
    """The disk of `folder` under the folder's own name, then the others.

    Args:
        folder: It need not exist yet.
        mounted: This system's when left out.
    """
    listed = mounts() if mounted is None else mounted
    mounted = sorted(listed, key=lambda entry: len(entry.mountpoint))
    # Subvolumes of one disk differ in their numbers, and folders can be linked from another
    # volume, so a disk is known by its number and by its device.
    above = [entry for entry in mounted if folder.absolute().is_relative_to(entry.mountpoint)]
    seen: set[int | str] = {entry.device for entry in above[-1:]}
    found = [_space(_existing(folder), str(folder), seen)]
    for entry in filter(_is_disk, mounted):
        if entry.device not in seen:
            seen.add(entry.device)
            found.append(_space(Path(entry.mountpoint), entry.mountpoint, seen))
    return tuple(space for space in found if space)


def _is_disk(entry: Mount) -> bool:
    options = entry.opts.split(",")
    return (
        entry.fstype not in _NOT_DISKS
        and "ro" not in options
        and "cdrom" not in options
        and not entry.device.startswith("/dev/loop")
        and not entry.mountpoint.startswith(_NOT_FOR_FILES)
        and (sys.platform == "win32" or Path(entry.mountpoint).is_dir())
    )


def _space(place: Path, name: str, seen: set[int | str]) -> Space | None:
    """What a place has, unless its disk was counted, has no size or does not answer."""
    try:
        number = place.stat().st_dev
        usage = psutil.disk_usage(os.fspath(place))
    except OSError:
        return None
    if number in seen or not usage.total:
        return None
    seen.add(number)
    return Space(name, usage.total, usage.free)


def _existing(folder: Path) -> Path:
    """The folder, or the nearest above it that exists."""
    absolute = folder.absolute()
    return next((place for place in (absolute, *absolute.parents) if place.exists()), absolute)
