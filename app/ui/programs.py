"""How this application starts its other programs: the worker and the commands."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from PySide6.QtCore import QProcess, QProcessEnvironment


def command(*arguments: str) -> list[str]:
    """The command line of one of our programs, from source and from a frozen bundle alike."""
    frozen = getattr(sys, "frozen", False)
    return [sys.executable, *arguments] if frozen else [sys.executable, "-m", "app", *arguments]


def prepare(process: QProcess) -> None:
    """Give a child what it needs to find this very application, wherever it is started."""
    environment = QProcessEnvironment.systemEnvironment()
    if not getattr(sys, "frozen", False):
        paths = [str(Path(__file__).parents[2]), environment.value("PYTHONPATH")]
        environment.insert("PYTHONPATH", os.pathsep.join(path for path in paths if path))
    environment.insert("PYTHONUNBUFFERED", "1")
    environment.insert("PYTHONIOENCODING", "utf-8")
    process.setProcessEnvironment(environment)
