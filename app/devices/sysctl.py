"""Facts that the kernel of macOS tells by name."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable

Sysctl = Callable[[str], bytes]
"""The raw value of a name; empty where there is none, as on every other system."""


def sysctl(name: str) -> bytes:
    """Ask the running kernel."""
    if sys.platform == "darwin":
        ask = ctypes.CDLL(None).sysctlbyname
        length = ctypes.c_size_t(0)
        if ask(name.encode(), None, ctypes.byref(length), None, ctypes.c_size_t(0)) == 0:
            value = ctypes.create_string_buffer(length.value)
            if ask(name.encode(), value, ctypes.byref(length), None, ctypes.c_size_t(0)) == 0:
                return value.raw[: length.value]
    return b""


def number(raw: bytes) -> int:
    """A value that is an integer, of whatever width; 0 when there is none."""
    return int.from_bytes(raw, "little")


def text(raw: bytes) -> str:
    """A value that is a text."""
    return raw.rstrip(b"\0").decode("utf-8", errors="replace")
