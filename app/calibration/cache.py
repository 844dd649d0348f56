"""Importance matrices that were computed before, so that another result of a model starts at once.

Files of llama.cpp's format in the user's data folder, named after what they were computed from;
and beside them the state of computations that were cut off.
The ones used longest ago make room for new ones.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path

from app.calibration.checkpoint import LayerCheckpoint
from app.core.errors import BadModelFile
from app.core.places import user_data
from app.formats.gguf.imatrix import ImportanceMatrix, read_imatrix
from app.models.base import Checkpoint

_VERSION = 1
"""Another number where the same text would give other importances."""
_MOST_BYTES = 2_000_000_000
_MOST_FILES = 50


class ImportanceCache:
    """The folder of the matrices."""

    def __init__(self) -> None:
        self.folder = user_data() / "importance"

    def has(self, key: str) -> bool:
        """Whether something was kept under `key`."""
        return self._path(key).exists()

    def find(self, key: str) -> ImportanceMatrix | None:
        """What was kept under `key`; a damaged file counts as none."""
        path = self._path(key)
        if not path.exists():
            return None
        try:
            found = read_imatrix(path)
        except BadModelFile:
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return found

    def keep(self, key: str, matrix: ImportanceMatrix) -> None:
        """Remember `matrix`, and forget the oldest ones if there are too many."""
        matrix.save(self._path(key))
        self._make_room()

    def unfinished(self, key: str) -> LayerCheckpoint:
        """Where a computation that may be cut off keeps its state."""
        return LayerCheckpoint(self.folder / f"{key}.layers")

    def clear(self) -> int:
        """Forget everything; how many bytes that freed."""
        files = self._files()
        freed = sum(path.stat().st_size for path in files)
        for path in files:
            path.unlink(missing_ok=True)
        return freed

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.gguf"

    def _files(self) -> list[Path]:
        """The newest first."""
        found = self.folder.iterdir() if self.folder.is_dir() else ()
        return sorted(found, key=lambda path: path.stat().st_mtime_ns, reverse=True)

    def _make_room(self) -> None:
        kept = 0
        for number, path in enumerate(self._files()):
            kept += path.stat().st_size
            if number and (number >= _MOST_FILES or kept > _MOST_BYTES):
                path.unlink(missing_ok=True)


def cache_key(checkpoint: Checkpoint, *facts: object) -> str:
    """A name for what is computed from a model, as its files are now, and from `facts`."""
    stats = [(file.name, file.stat()) for file in checkpoint.files]
    files = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
    text = json.dumps([_VERSION, files, facts])
    return hashlib.sha256(text.encode()).hexdigest()[:32]
