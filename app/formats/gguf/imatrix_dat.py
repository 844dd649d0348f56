"""llama.cpp's older files of importance matrices (.dat), read with limits.

Little endian: int32 number of entries; each entry: int32 length and name, int32 number of chunks,
int32 number of values, the values as float32; then, in most files, int32 number of chunks and
int32 length and name of the text.
"""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass
from typing import BinaryIO

from app.models.source_file import SourceFile, sound_name

_MOST_ENTRIES = 100_000
_LONGEST_NAME = 1024
_I32 = struct.Struct("<i")


@dataclass(frozen=True, slots=True)
class DatEntry:
    """One tensor."""

    name: str
    chunks: int
    values: array[float]
    """Mean squares times `chunks`."""


@dataclass(frozen=True, slots=True)
class DatFile:
    """All of a file."""

    entries: tuple[DatEntry, ...]
    chunks: int
    datasets: tuple[str, ...]


def is_dat(source: SourceFile) -> bool:
    """Whether the file is of the older kind, by its first bytes and its name."""
    with source.open() as file:
        start = file.read(4)
    if start == b"GGUF":
        return False
    source.check_start(start)
    return source.path.suffix.lower() != ".gguf"


def read_dat(source: SourceFile) -> DatFile:
    """Read all of a file.

    Raises:
        BadModelFile: It is damaged.
    """
    with source.open() as file:
        reader = _Reader(source, file)
        count = reader.number("entries", 1, _MOST_ENTRIES)
        entries = tuple(reader.entry() for _ in range(count))
        if len({entry.name for entry in entries}) != count:
            raise source.damaged("it lists a tensor twice")
        if not reader.left:
            return DatFile(entries, 0, ())
        chunks = max(0, reader.number("chunks", -(2**31), 2**31))
        text = reader.text() if reader.left else ""
        return DatFile(entries, chunks, (text,) if text else ())


class _Reader:
    def __init__(self, source: SourceFile, file: BinaryIO) -> None:
        self._source = source
        self._file = file
        self.left = source.size

    def number(self, what: str, low: int, high: int) -> int:
        value: int = _I32.unpack(self._take(_I32.size))[0]
        if not low <= value <= high:
            raise self._source.damaged(f"it claims {value:,} {what}")
        return value

    def text(self) -> str:
        length = self.number("letters in a name", 0, _LONGEST_NAME)
        return self._take(length).decode("utf-8", "replace")

    def entry(self) -> DatEntry:
        name = self.text()
        if not sound_name(name):
            raise self._source.damaged(f"{name[:80]!r} cannot be the name of a tensor")
        chunks = self.number("chunks", 0, 2**31)
        count = self.number("values", 1, self.left // 4)
        values = struct.unpack(f"<{count}f", self._take(4 * count))
        return DatEntry(name, chunks, array("f", values))

    def _take(self, nbytes: int) -> bytes:
        if nbytes > self.left:
            raise self._source.damaged("it is cut off")
        self.left -= nbytes
        return self._file.read(nbytes)
