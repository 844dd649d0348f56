"""Keeps the computer from falling asleep while a job runs.

Windows: a flag of the calling thread. macOS: the system's `caffeinate`. Linux:
`systemd-inhibit` where there is one. Each ends by itself when the worker dies. Only the
Linux way has been tested.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def awake() -> Iterator[None]:
    """No sleep for lack of activity inside this block; silently without effect if impossible."""
    if sys.platform == "win32":
        with _windows():
            yield
    else:
        with _command():
            yield


@contextlib.contextmanager
def _command() -> Iterator[None]:
    program = shutil.which("caffeinate") or shutil.which("systemd-inhibit")
    if program is None:
        yield
        return
    mine = str(os.getpid())
    if program.endswith("caffeinate"):
        command = [program, "-i", "-w", mine]
    else:
        # It holds the lock for as long as its child lives: until our end of the pipe closes.
        command = [program, "--what=sleep:idle", "--who=Nibble", "--why=converting a model", "cat"]
    try:
        child = subprocess.Popen(  # noqa: S603 - fixed arguments
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        yield
        return
    try:
        yield
    finally:
        child.terminate()
        if child.stdin:
            child.stdin.close()
        child.wait()


@contextlib.contextmanager
def _windows() -> Iterator[None]:
    """SetThreadExecutionState, learn.microsoft.com: ES_CONTINUOUS | ES_SYSTEM_REQUIRED."""
    import ctypes

    set_state = vars(ctypes)["windll"].kernel32.SetThreadExecutionState
    set_state(0x80000001)
    try:
        yield
    finally:
        set_state(0x80000000)
