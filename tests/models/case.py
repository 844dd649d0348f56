"""One model that must be refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Case:
    """A model that must be refused."""

    name: str
    write: Callable[[Path], Path]
    """Writes it into an empty folder; returns the path to open."""

    def __str__(self) -> str:
        return self.name


def write_files(files: Mapping[str, bytes], folder: Path, choose: str = "") -> Path:
    """Write all files; the folder, or one of them, is what to open."""
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder / choose if choose else folder
