"""Reads character vectors out of an R package's lazy-load database, without R.

An R package stores its data sets in a pair of files: ``Rdata.rdb`` holds one compressed chunk per
object, back to back, and ``Rdata.rdx`` is an index of (offset, length) pairs.  Both contain R's XDR
serialization.  Only the few value types that occur in such an index and in plain text data sets
are understood; anything else raises :class:`UnsupportedRData` rather than being guessed at.
"""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zlib
from pathlib import Path
from typing import Any

_AR_MAGIC = b"!<arch>\n"
_AR_HEADER_SIZE = 60

# R's SEXP type codes (the low byte of an item's flags) for the types handled here.
_SYMBOL, _PAIRLIST, _CHARS, _LOGICALS, _INTEGERS, _STRINGS, _LIST = 1, 2, 9, 10, 13, 16, 19
_REFERENCE, _GLOBAL_ENV, _NULL = 255, 253, 254
_ATTRIBUTES_FLAG, _TAG_FLAG = 0x200, 0x400


class UnsupportedRData(ValueError):
    """The data uses a part of R's serialization format that this reader does not know."""


class _Unserializer:
    """Decodes one serialized R value."""

    def __init__(self, data: bytes) -> None:
        self._stream = io.BytesIO(data)
        self._symbols: list[Any] = []

    def read(self) -> Any:
        """Decodes the header and the value behind it."""
        if self._stream.read(2) != b"X\n":
            raise UnsupportedRData("not an XDR serialization")
        version, _, _ = self._integer(), self._integer(), self._integer()
        if version == 3:
            self._stream.read(self._integer())  # The name of the writer's native encoding.
        elif version != 2:
            raise UnsupportedRData(f"serialization version {version}")
        return self._item()

    def _integer(self) -> int:
        return struct.unpack(">i", self._stream.read(4))[0]

    def _item(self) -> Any:
        flags = self._integer()
        kind = flags & 0xFF
        if kind in (_NULL, _GLOBAL_ENV):
            return None
        if kind == _REFERENCE:
            return self._symbols[(flags >> 8) - 1]
        if kind == _SYMBOL:
            self._symbols.append(self._item())
            return self._symbols[-1]
        if kind == _PAIRLIST:
            return self._pairlist(flags)
        if kind == _CHARS:
            return self._chars()
        return self._vector(kind, bool(flags & _ATTRIBUTES_FLAG))

    def _pairlist(self, flags: int) -> dict[str, Any]:
        if flags & _ATTRIBUTES_FLAG:
            self._item()
        tag = self._item() if flags & _TAG_FLAG else ""
        pairs = {tag: self._item()}
        pairs.update(self._item() or {})
        return pairs

    def _chars(self) -> str | None:
        length = self._integer()
        return None if length < 0 else self._stream.read(length).decode("utf-8")

    def _vector(self, kind: int, has_attributes: bool) -> Any:
        if kind in (_LOGICALS, _INTEGERS):
            values = [self._integer() for _ in range(self._integer())]
        elif kind in (_STRINGS, _LIST):
            values = [self._item() for _ in range(self._integer())]
        else:
            raise UnsupportedRData(f"value type {kind}")
        attributes = self._item() if has_attributes else {}
        names = attributes.get("names")
        return dict(zip(names, values, strict=True)) if names else values


def _decompress_chunk(chunk: bytes) -> bytes:
    """Undoes the compression of one database chunk: a big-endian length, then a zlib stream."""
    (expected,) = struct.unpack(">I", chunk[:4])
    if chunk[4:5] in b"2Z":  # bzip2 and xz chunks carry a type letter; zlib ones start with 0x78.
        raise UnsupportedRData("chunk is not zlib-compressed")
    data = zlib.decompress(chunk[4:])
    if len(data) != expected:
        raise UnsupportedRData(f"chunk has {len(data)} bytes, its header says {expected}")
    return data


def read_database(index: bytes, database: bytes) -> dict[str, Any]:
    """Decodes every object of a lazy-load database.

    Args:
        index: The bytes of the ``.rdx`` file.
        database: The bytes of the ``.rdb`` file.

    Returns:
        The decoded objects by name; an R character vector becomes a list of strings.
    """
    places = _Unserializer(gzip.decompress(index)).read()["variables"]
    return {
        name: _Unserializer(_decompress_chunk(database[start : start + length])).read()
        for name, (start, length) in places.items()
    }


def _deb_data_archive(deb: bytes) -> tarfile.TarFile:
    """Opens the ``data.tar.*`` member of a Debian package, which is an ``ar`` archive."""
    if not deb.startswith(_AR_MAGIC):
        raise ValueError("not a Debian package")
    position = len(_AR_MAGIC)
    while position < len(deb):
        header = deb[position : position + _AR_HEADER_SIZE]
        name, size = header[:16].decode("ascii").strip().rstrip("/"), int(header[48:58])
        body = position + _AR_HEADER_SIZE
        if name.startswith("data.tar"):
            return tarfile.open(fileobj=io.BytesIO(deb[body : body + size]))
        position = body + size + size % 2  # Members are padded to even offsets.
    raise ValueError("the Debian package has no data archive")


def read_package_data(source: Path) -> dict[str, Any]:
    """Reads the data sets of an R package.

    Args:
        source: A ``.deb`` file, or a folder into which one was extracted.

    Returns:
        The decoded data sets by name.
    """
    if source.is_dir():
        index = next(source.rglob("data/Rdata.rdx"), None)
        if index is None:
            raise FileNotFoundError(f"no data/Rdata.rdx below {source}")
        return read_database(index.read_bytes(), index.with_suffix(".rdb").read_bytes())
    with _deb_data_archive(source.read_bytes()) as archive:
        files = {
            Path(member.name).suffix: archive.extractfile(member).read()
            for member in archive
            if Path(member.name).stem == "Rdata" and member.isfile()
        }
    return read_database(files[".rdx"], files[".rdb"])
