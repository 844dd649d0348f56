"""Whether a file's content is what the hub has."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from app.core.hub import HubFile

_PIECE = 1 << 22


class Digest:
    """Takes in the content of one file, from its first byte on.

    Large files (LFS) are known by their SHA-256, small ones by the name that git gives them:
    the SHA-1 of "blob <length>", a zero byte, and the content.
    """

    def __init__(self, file: HubFile) -> None:
        self._file = file
        self._length = 0
        if file.sha256:
            self._hash = hashlib.sha256()
        else:
            self._hash = hashlib.sha1(usedforsecurity=False)
            self._hash.update(f"blob {file.nbytes}\0".encode())

    def add(self, piece: bytes) -> None:
        """The bytes that follow."""
        self._hash.update(piece)
        self._length += len(piece)

    def agrees(self) -> bool:
        """Whether that was all of it, unchanged."""
        wanted = self._file.sha256 or self._file.git_sha1 or self._hash.hexdigest()
        return self._length == self._file.nbytes and self._hash.hexdigest() == wanted


def holds(path: Path, file: HubFile, tell: Callable[[int], None] | None = None) -> bool:
    """Whether the file at `path` is `file`.

    Args:
        path: A file, maybe.
        file: What it should be.
        tell: Called with the number of bytes read, again and again.
    """
    digest = Digest(file)
    try:
        if path.stat().st_size != file.nbytes:
            return False
        with path.open("rb") as content:
            while piece := content.read(_PIECE):
                digest.add(piece)
                if tell:
                    tell(len(piece))
    except OSError:
        return False
    return digest.agrees()
