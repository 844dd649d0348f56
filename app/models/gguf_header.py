"""The header of a GGUF file, read with limits.

Layout (versions 2 and 3, little endian): "GGUF", version, number of tensors, number of metadata
entries, the entries (key, type, value), the tensors (name, dimensions innermost first, type,
offset), padding, then the numbers. See https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.

Every length is compared with what is left of the file before anything of that length is made.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from math import prod
from struct import Struct, unpack_from
from typing import Any

from app.core.errors import Unsupported
from app.core.tensor import TensorInfo
from app.models.gguf_types import MAX_TYPE, TENSOR_TYPES
from app.models.source_file import SourceFile, sound_name

_MAX_HEADER = 64_000_000  # four times the largest vocabulary there is
_MAX_ENTRIES = 100_000
_MAX_TENSORS = 100_000
_MAX_ITEMS = 4_000_000  # of all arrays together; a large vocabulary has three times 300,000
_MAX_STRING = 16_000_000
_MAX_ALIGNMENT = 2**20
_MAX_DIMENSIONS = 4
_DEFAULT_ALIGNMENT = 32

_U32 = Struct("<I")
_U64 = Struct("<Q")
_START = Struct("<4sIQQ")
_PLACE = Struct("<IQ")


class ValueType(IntEnum):
    """Types of metadata values, by their numbers in the file."""

    UINT8 = 0
    INT8 = 1
    UINT16 = 2
    INT16 = 3
    UINT32 = 4
    INT32 = 5
    FLOAT32 = 6
    BOOL = 7
    STRING = 8
    ARRAY = 9
    UINT64 = 10
    INT64 = 11
    FLOAT64 = 12


SCALARS = {
    ValueType.UINT8: Struct("<B"),
    ValueType.INT8: Struct("<b"),
    ValueType.UINT16: Struct("<H"),
    ValueType.INT16: Struct("<h"),
    ValueType.UINT32: Struct("<I"),
    ValueType.INT32: Struct("<i"),
    ValueType.FLOAT32: Struct("<f"),
    ValueType.BOOL: Struct("<B"),
    ValueType.UINT64: Struct("<Q"),
    ValueType.INT64: Struct("<q"),
    ValueType.FLOAT64: Struct("<d"),
}
"""How the fixed-size types are laid down."""


@dataclass(frozen=True, slots=True)
class GgufValue:
    """A metadata value with its type, so that it can be written again unchanged."""

    type: ValueType
    value: Any
    """int, float, bool, str, or a tuple of one of them. Bytes of a string that are not UTF-8
    are kept by Python's "surrogateescape"."""
    item_type: ValueType | None = None
    """Of an array's items."""


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """A tensor and its place."""

    info: TensorInfo
    offset: int
    """First byte, counted from the start of the file."""
    ggml_id: int
    """Number of its type in the file."""


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """What a GGUF file says about itself."""

    version: int
    alignment: int
    metadata: Mapping[str, GgufValue]
    tensors: Mapping[str, GgufTensor]
    """In the order of the header."""

    def get(self, key: str, default: Any = None) -> Any:
        """The plain value of a metadata entry."""
        found = self.metadata.get(key)
        return default if found is None else found.value


def read_gguf_header(source: SourceFile) -> GgufHeader:
    """Read and check the header of `source`.

    Raises:
        BadModelFile: The file breaks a rule of the format, or a limit.
        Unsupported: It is of a version or byte order that is not supported.
    """
    with source.open() as file:
        start = file.read(_START.size)
        if not start.startswith(b"GGUF"):
            source.check_start(start)
            raise source.damaged("it does not start as a GGUF file")
        if len(start) < _START.size:
            raise source.damaged("it is cut off in its header")
        _, version, tensors, entries = _START.unpack(start)
        _check_version(source, version)
        if entries > _MAX_ENTRIES or tensors > _MAX_TENSORS:
            raise source.damaged(f"it claims {entries:,} notes and {tensors:,} tensors")
        here = os.fstat(file.fileno()).st_size  # less than the size where weights are elsewhere
        length = min(source.size, here, _MAX_HEADER)
        with mmap.mmap(file.fileno(), length, access=mmap.ACCESS_READ) as view:
            return _Reader(source, view).read(version, entries, tensors)


def _check_version(source: SourceFile, version: int) -> None:
    if version in {2, 3}:
        return
    name = source.path.name
    if version and not version & 0xFFFF:
        raise Unsupported(
            f"{name} was made for machines with another byte order.",
            "Look for a little-endian version of the file.",
        )
    if version == 1 or 3 < version < 100:
        raise Unsupported(
            f"{name} is of GGUF version {version}; this application reads 2 and 3.",
            "Look for a newer file of this model." if version == 1 else "Update this application.",
        )
    raise source.damaged(f"its version is {version}")


class _Reader:
    """A position in the header of one file."""

    def __init__(self, source: SourceFile, data: mmap.mmap) -> None:
        self._source = source
        self._data = data
        self._at = _START.size
        self._items_left = _MAX_ITEMS

    def read(self, version: int, entries: int, tensors: int) -> GgufHeader:
        metadata: dict[str, GgufValue] = {}
        for _ in range(entries):
            key = self._name("note")
            if key in metadata:
                raise self._source.damaged(f"it has the note {key!r} twice")
            metadata[key] = self._value(key)
        alignment = self._alignment(metadata.get("general.alignment"))
        found = [self._tensor() for _ in range(tensors)]
        start = -(-self._at // alignment) * alignment
        return GgufHeader(version, alignment, metadata, self._placed(found, start, alignment))

    def _take(self, nbytes: int) -> int:
        """Step over `nbytes` bytes, which must be there; returns where they start."""
        at = self._at
        if nbytes > len(self._data) - at:
            reason = "it is cut off in its header"
            if len(self._data) < self._source.size:
                reason = "its header is larger than 64 MB"
            raise self._source.damaged(reason)
        self._at = at + nbytes
        return at

    def _number(self, struct: Struct) -> int:
        value: int = struct.unpack_from(self._data, self._take(struct.size))[0]
        return value

    def _string(self) -> str:
        length = self._number(_U64)
        if length > _MAX_STRING:
            raise self._source.damaged("it has a text of more than 16 MB")
        at = self._take(length)
        return self._data[at : at + length].decode("utf-8", "surrogateescape")

    def _name(self, kind: str) -> str:
        name = self._string()
        if not sound_name(name):
            raise self._source.damaged(f"{name[:80]!r} cannot be the name of a {kind}")
        return name

    def _type(self, key: str) -> ValueType:
        number = self._number(_U32)
        try:
            return ValueType(number)
        except ValueError:
            raise self._source.damaged(f"its note {key!r} has the unknown type {number}") from None

    def _value(self, key: str) -> GgufValue:
        kind = self._type(key)
        if kind is not ValueType.ARRAY:
            return GgufValue(kind, self._items(key, kind, 1)[0])
        item = self._type(key)
        if item is ValueType.ARRAY:
            raise self._source.damaged(f"its note {key!r} is a list of lists")
        count = self._number(_U64)
        self._items_left -= count
        if self._items_left < 0:
            raise self._source.damaged(f"its note {key!r} has {count:,} items")
        return GgufValue(kind, self._items(key, item, count), item)

    def _items(self, key: str, kind: ValueType, count: int) -> tuple[Any, ...]:
        if kind is ValueType.STRING:
            return tuple([self._string() for _ in range(count)])
        scalar = SCALARS[kind]
        at = self._take(count * scalar.size)
        items = unpack_from(f"<{count}{scalar.format[1:]}", self._data, at)
        if kind is not ValueType.BOOL:
            return items
        if not set(items) <= {0, 1}:
            raise self._source.damaged(f"its note {key!r} is neither yes nor no")
        return tuple(map(bool, items))

    def _alignment(self, value: GgufValue | None) -> int:
        if value is None:
            return _DEFAULT_ALIGNMENT
        size = value.value
        if value.type is not ValueType.UINT32 or not 0 < size <= _MAX_ALIGNMENT or size & size - 1:
            raise self._source.damaged("its alignment is not possible")
        return int(size)

    def _tensor(self) -> GgufTensor:
        """A tensor whose offset still counts from the start of the data."""
        name = self._name("tensor")
        count = self._number(_U32)
        if not 1 <= count <= _MAX_DIMENSIONS:
            raise self._source.damaged(f"{name!r} has {count:,} dimensions")
        shape = unpack_from(f"<{count}Q", self._data, self._take(8 * count))[::-1]
        weights = prod(shape)
        if not 0 < weights < 2**62:
            raise self._source.damaged(f"the shape of {name!r} is not possible")
        ggml_id, offset = _PLACE.unpack_from(self._data, self._take(_PLACE.size))
        kind = TENSOR_TYPES.get(ggml_id)
        if kind is None:
            if ggml_id > MAX_TYPE:
                raise self._source.damaged(f"{name!r} has an unknown type of numbers")
            return GgufTensor(TensorInfo(name, shape, f"ggml type {ggml_id}", 0), offset, ggml_id)
        if shape[-1] % kind.block:
            raise self._source.damaged(f"the rows of {name!r} do not divide into {kind.name}")
        nbytes = weights // kind.block * kind.block_bytes
        return GgufTensor(TensorInfo(name, shape, kind.name, nbytes), offset, ggml_id)

    def _placed(self, found: list[GgufTensor], start: int, alignment: int) -> dict[str, GgufTensor]:
        """Check the places of all tensors, and make them count from the start of the file.

        A tensor of a type that is not known reaches to the next one.
        """
        ends: dict[str, int] = {}
        limit = self._source.size - start
        for tensor in sorted(found, key=lambda item: (item.offset, item.info.nbytes), reverse=True):
            name, end = tensor.info.name, tensor.offset + tensor.info.nbytes
            if name in ends:
                raise self._source.damaged(f"it lists {name!r} twice")
            if tensor.offset % alignment:
                raise self._source.damaged(f"the place of {name!r} is not aligned")
            if end > limit or tensor.offset >= limit:
                what = "overlaps another tensor" if ends else "reaches behind the end of the file"
                raise self._source.damaged(f"{name!r} {what}")
            ends[name] = limit if tensor.ggml_id not in TENSOR_TYPES else end
            limit = tensor.offset
        return {item.info.name: _moved(item, start, ends[item.info.name]) for item in found}


def _moved(tensor: GgufTensor, start: int, end: int) -> GgufTensor:
    info = tensor.info
    sized = TensorInfo(info.name, info.shape, info.dtype, end - tensor.offset)
    return GgufTensor(sized, start + tensor.offset, tensor.ggml_id)
