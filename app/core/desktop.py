"""Whether a window can be opened here, and what to do where it cannot."""

from __future__ import annotations

import os
import sys

DEBIAN_PACKAGES = (
    "libglib2.0-0 libgl1 libegl1 libxkbcommon0 libdbus-1-3 libfontconfig1 libxkbcommon-x11-0 "
    "libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1 libxcb-shape0"
)
"""What Qt needs beyond a minimal Debian or Ubuntu."""
_COMMAND = "Without a window the same works as a command:\n    {0} quantize sample --format Q4_K_M"


def no_display(program: str) -> str:
    """Why no window can be shown in this session; empty where one can."""
    named = any(os.environ.get(key) for key in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"))
    if named or sys.platform in {"win32", "darwin"}:
        return ""
    return "There is no display to open the window on.\n" + _COMMAND.format(program)


def missing_library(error: ImportError, program: str) -> str:
    """What to install when Qt could not be loaded."""
    return (
        f"The window's libraries are not complete: {error}\n"
        f"On Debian and Ubuntu:\n    sudo apt install {DEBIAN_PACKAGES}\n"
        + _COMMAND.format(program)
    )
