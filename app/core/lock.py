"""A lock between processes that the system releases when its holder dies."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

_POLL_SECONDS = 0.1


def _try_lock() -> Callable[[int], None]:
    """The system's call that locks the first byte of an open file, or raises OSError."""
    if sys.platform == "win32":
        import msvcrt

        return lambda handle: msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    import fcntl

    return lambda handle: fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


class FileLock:
    """Exclusive use of something that `path` stands for. The lock file itself stays."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None

    def acquire(self, seconds: float = 0.0) -> bool:
        """Take the lock, waiting at most `seconds`; whether it was got."""
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
        give_up = time.monotonic() + seconds
        lock = _try_lock()
        while True:
            try:
                lock(handle)
            except OSError:
                if time.monotonic() >= give_up:
                    os.close(handle)
                    return False
                time.sleep(_POLL_SECONDS)
            else:
                self._handle = handle
                return True

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def is_locked(path: Path) -> bool:
    """Whether a living process holds the lock on `path`."""
    if not path.exists():
        return False
    lock = FileLock(path)
    free = lock.acquire()
    lock.release()
    return not free
