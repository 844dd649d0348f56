"""The header of a safetensors file, read with limits.

Layout: 8 bytes little-endian length, that many bytes of JSON, then the numbers. The JSON maps
each name to {"dtype", "shape", "data_offsets": [first, end)}; the ranges cover the data exactly,
and "__metadata__" may map texts to texts. See https://github.com/huggingface/safetensors.

The text is cut into entries before any of it is parsed, so that a hostile header of 100 MB
cannot become gigabytes of objects. Duplicate keys, which the reference library overlooks, are
refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, TypeGuard

from app.core.errors import Unsupported
from app.core.tensor import TensorInfo
from app.encodings.base import DTYPE_BYTES
from app.models.source_file import SourceFile, sound_name

_MAX_HEADER = 100_000_000
_MAX_TENSORS = 50_000  # the largest models have 150,000, in more than a hundred files
_MAX_NOTES = 100_000
_MAX_DIMENSIONS = 8
_MAX_ELEMENTS = 2**62

#: Dtypes of the format that this application has no use for.
_KNOWN_BUT_UNUSED = {"F4", "F6_E2M3", "F6_E3M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "C64"}

_SPACE = rb"[ \t\r\n]*+"
_TEXT = rb'"[^"\\\x00-\x1f]*+(?:\\.[^"\\\x00-\x1f]*+)*+"'
_OPEN = re.compile(rb"\{" + _SPACE)
_KEY = re.compile(rb"(" + _TEXT + rb")" + _SPACE + rb":" + _SPACE)
_ENTRY = re.compile(rb"\{[^{}]{0,8192}+\}")
_STRING = re.compile(_TEXT)
_NEXT = re.compile(_SPACE + rb"(?:(,)" + _SPACE + rb"|\})")


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor and the place of its first byte, counted from the start of the file."""

    info: TensorInfo
    offset: int


@dataclass(frozen=True, slots=True)
class SafetensorsHeader:
    """What a safetensors file says about itself."""

    tensors: Mapping[str, StoredTensor]
    """In the order of their bytes."""
    metadata: Mapping[str, str]


def read_safetensors_header(source: SourceFile) -> SafetensorsHeader:
    """Read and check the header of `source`.

    Raises:
        BadModelFile: The file breaks a rule of the format, or a limit.
        Unsupported: It holds numbers of a kind that is not supported.
    """
    with source.open() as file:
        start = file.read(32)
        source.check_start(start)
        length = int.from_bytes(start[:8], "little")
        if source.size < 10 or length > source.size - 8:
            raise source.damaged("it is shorter than its header says, or no safetensors file")
        if length > _MAX_HEADER:
            raise source.damaged("its header is larger than 100 MB")
        file.seek(8)
        text = file.read(length)
    if len(text) != length:
        raise source.damaged("it became shorter while it was read")
    return _HeaderText(source, text).read()


class _HeaderText:
    """The JSON of one header on its way to becoming tensors."""

    def __init__(self, source: SourceFile, text: bytes) -> None:
        self._source = source
        self._text = text
        self._data_start = 8 + len(text)

    def read(self) -> SafetensorsHeader:
        found: list[StoredTensor] = []
        metadata: dict[str, str] | None = None
        names: set[str] = set()
        at, more = self._open(0)
        while more:
            key, at = self._string(_KEY, at)
            if key in names:
                raise self._source.damaged(f"it lists {key[:80]!r} twice")
            names.add(key)
            if len(names) > _MAX_TENSORS:
                raise self._source.damaged(f"it lists more than {_MAX_TENSORS:,} tensors")
            if key == "__metadata__":
                metadata, at = self._metadata(at)
            else:
                tensor, at = self._tensor(key, at)
                found.append(tensor)
            at, more = self._next(at)
        if self._text[at:].strip(b" \t\r\n"):
            raise self._source.damaged("there is text behind the end of its header")
        return SafetensorsHeader(self._in_order(found), metadata or {})

    def _open(self, at: int) -> tuple[int, bool]:
        """Step into an object; says whether it has entries."""
        match = _OPEN.match(self._text, at)
        if match is None:
            raise self._source.damaged("its header is not a list of tensors")
        if self._text.startswith(b"}", match.end()):
            return match.end() + 1, False
        return match.end(), True

    def _next(self, at: int) -> tuple[int, bool]:
        """Step over what follows an entry; says whether another one does."""
        match = _NEXT.match(self._text, at)
        if match is None:
            raise self._source.damaged(f"its header cannot be understood at byte {at:,}")
        return match.end(), match[1] is not None

    def _string(self, pattern: re.Pattern[bytes], at: int) -> tuple[str, int]:
        match = pattern.match(self._text, at)
        if match is None:
            raise self._source.damaged(f"its header cannot be understood at byte {at:,}")
        piece = match[match.lastindex or 0]
        text: str = self._json(piece) if b"\\" in piece else self._utf8(piece[1:-1])
        return text, match.end()

    def _utf8(self, piece: bytes) -> str:
        try:
            return piece.decode()
        except ValueError as error:
            raise self._source.damaged("its header is not UTF-8", error) from error

    def _json(self, piece: bytes) -> Any:
        """The value of a piece of JSON that begins and ends where the value does."""
        try:
            return _DECODER.raw_decode(self._utf8(piece))[0]
        except (ValueError, RecursionError) as error:
            raise self._source.damaged("a part of its header is not valid", error) from error

    def _metadata(self, at: int) -> tuple[dict[str, str], int]:
        notes: dict[str, str] = {}
        at, more = self._open(at)
        while more:
            key, at = self._string(_KEY, at)
            if key in notes or len(notes) == _MAX_NOTES:
                raise self._source.damaged("its notes repeat themselves or are too many")
            notes[key], at = self._string(_STRING, at)
            at, more = self._next(at)
        return notes, at

    def _tensor(self, name: str, at: int) -> tuple[StoredTensor, int]:
        if not sound_name(name):
            raise self._source.damaged(f"{name[:80]!r} cannot be the name of a tensor")
        match = _ENTRY.match(self._text, at)
        if match is None:
            raise self._source.damaged(f"what it says about {name!r} cannot be understood")
        fields = self._json(match[0])
        shape = self._shape(name, fields.get("shape"))
        dtype = self._dtype(name, fields.get("dtype"))
        nbytes = prod(shape) * DTYPE_BYTES[dtype]
        first = self._first_byte(name, fields.get("data_offsets"), nbytes)
        info = TensorInfo(name, shape, dtype, nbytes)
        return StoredTensor(info, self._data_start + first), match.end()

    def _dtype(self, name: str, value: object) -> str:
        if isinstance(value, str) and value in DTYPE_BYTES:
            return value
        if isinstance(value, str) and value in _KNOWN_BUT_UNUSED:
            raise Unsupported(
                f"{name} in {self._source.path.name} holds {value} numbers.",
                "Look for a version of the model in BF16, F16 or F32.",
            )
        raise self._source.damaged(f"{name!r} has an unknown type of numbers")

    def _shape(self, name: str, value: object) -> tuple[int, ...]:
        if not _is_counts(value) or len(value) > _MAX_DIMENSIONS:
            raise self._source.damaged(f"the shape of {name!r} is not possible")
        if prod(filter(None, value)) > _MAX_ELEMENTS:
            raise self._source.damaged(f"the shape of {name!r} is too large")
        return tuple(value)

    def _first_byte(self, name: str, value: object, nbytes: int) -> int:
        if not _is_counts(value) or len(value) != 2 or value[1] - value[0] != nbytes:
            raise self._source.damaged(f"the place of {name!r} does not fit its size")
        if value[1] > self._source.size - self._data_start:
            raise self._source.damaged(f"it ends before {name!r} does")
        return value[0]

    def _in_order(self, tensors: list[StoredTensor]) -> dict[str, StoredTensor]:
        """Sort by place, and make sure that the tensors cover the data once, without a gap."""
        tensors.sort(key=lambda tensor: (tensor.offset, tensor.info.nbytes))
        expected = self._data_start
        for tensor in tensors:
            if tensor.offset != expected:
                what = "overlaps another tensor" if tensor.offset < expected else "follows a gap"
                raise self._source.damaged(f"{tensor.info.name!r} {what}")
            expected += tensor.info.nbytes
        if expected != self._source.size:
            raise self._source.damaged("there is data behind its last tensor")
        return {tensor.info.name: tensor for tensor in tensors}


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a field is there twice")
    return fields


_DECODER = json.JSONDecoder(object_pairs_hook=_unique)


def _is_counts(value: object) -> TypeGuard[list[int]]:
    """Whether `value` is a list of whole numbers that are not negative."""
    return isinstance(value, list) and {*map(type, value)} <= {int} and min(value, default=0) >= 0
