"""Writing files so that they are complete or absent, whatever happens in between."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from pathlib import Path

SPARE_BYTES = 2_000_000_000
"""Of a disk, left to others by what is only kept for a while."""
_REPLACE_TRIES = 10  # on Windows a virus scanner may hold a new file open for a moment


def sync_folder(folder: Path) -> None:
    """Make renames and new names in `folder` survive a power cut, where the system can."""
    if sys.platform == "win32":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def move_into_place(source: Path, target: Path) -> None:
    """Rename `source` to `target`, replacing it, and make that durable."""
    for wait in (0.1,) * _REPLACE_TRIES:
        try:
            source.replace(target)
            break
        except PermissionError:
            time.sleep(wait)
    else:
        source.replace(target)
    sync_folder(target.parent)


def write_atomic(path: Path, content: bytes) -> None:
    """Replace the content of `path`; after a crash it is the old or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        move_into_place(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def free_bytes(path: Path) -> int:
    """Free space on the disk that `path` is, or will be, on."""
    return shutil.disk_usage(_existing(path)).free


def disk_of(path: Path) -> int:
    """A number for the disk that `path` is, or will be, on.

    Raises:
        OSError: It cannot be looked at.
    """
    return _existing(path).stat().st_dev


def _existing(path: Path) -> Path:
    """The nearest folder that is there."""
    return next((place for place in (path, *path.parents) if place.exists()), path)
