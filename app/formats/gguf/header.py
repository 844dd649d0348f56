"""Write the header of a GGUF file (version 3, little endian).

Layout as in `app.models.gguf_header`, which reads it.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.models.gguf_header import SCALARS, GgufValue, ValueType

ALIGNMENT = 32
"""Every tensor starts at a multiple of this; files say so only where it is another number."""
_VERSION = 3


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """One tensor's line in the header."""

    name: str
    shape: tuple[int, ...]
    """Outermost dimension first; written the other way round."""
    ggml_id: int
    nbytes: int

    @property
    def header_bytes(self) -> int:
        """Bytes of the line."""
        return len(self.encode(0))

    def encode(self, offset: int) -> bytes:
        """The line of a tensor that starts `offset` bytes behind the header."""
        count = len(self.shape)
        numbers = count, *self.shape[::-1], self.ggml_id, offset
        return _string(self.name) + struct.pack(f"<I{count}QIQ", *numbers)


def typed(value: float | str | Sequence[float] | Sequence[str]) -> GgufValue:
    """Give a plain value the type that llama.cpp expects of such values.

    Counts are UINT32, numbers in lists INT32, fractions FLOAT32.
    """
    match value:
        case bool():
            return GgufValue(ValueType.BOOL, value)
        case int():
            return GgufValue(ValueType.UINT32, value)
        case float():
            return GgufValue(ValueType.FLOAT32, value)
        case str():
            return GgufValue(ValueType.STRING, value)
    items = tuple(value)
    kinds = {int: ValueType.INT32, float: ValueType.FLOAT32, str: ValueType.STRING}
    kind = next((kinds[base] for base in kinds if items and isinstance(items[0], base)), None)
    assert kind is not None, "empty lists are left out"
    return GgufValue(ValueType.ARRAY, items, kind)


def padded(size: int) -> int:
    """`size` rounded up to the alignment."""
    return -(-size // ALIGNMENT) * ALIGNMENT


@dataclass(frozen=True, slots=True)
class Metadata:
    """Encoded metadata. A vocabulary has 10^5 entries, so it is encoded once for all recipes."""

    entries: int
    data: bytes

    @classmethod
    def of(cls, values: Mapping[str, GgufValue]) -> Metadata:
        """Encode `values`, in their order."""
        data = b"".join(_string(key) + _value(value) for key, value in values.items())
        return cls(len(values), data)

    def __add__(self, other: Metadata) -> Metadata:
        return Metadata(self.entries + other.entries, self.data + other.data)


def encode_header(metadata: Metadata, tensors: Sequence[TensorEntry]) -> bytes:
    """The bytes in front of the first tensor, padding included.

    The tensors follow one after another, each padded to the alignment.
    """
    start = struct.pack("<4sIQQ", b"GGUF", _VERSION, len(tensors), metadata.entries)
    parts = [start, metadata.data]
    offset = 0
    for tensor in tensors:
        parts.append(tensor.encode(offset))
        offset += padded(tensor.nbytes)
    header = b"".join(parts)
    return header.ljust(padded(len(header)), b"\0")


def _string(text: str) -> bytes:
    data = text.encode("utf-8", "surrogateescape")
    return struct.pack("<Q", len(data)) + data


def _value(value: GgufValue) -> bytes:
    kind = struct.pack("<I", value.type)
    if value.type is ValueType.STRING:
        return kind + _string(value.value)
    if value.type is not ValueType.ARRAY:
        return kind + SCALARS[value.type].pack(value.value)
    assert value.item_type is not None
    kind += struct.pack("<IQ", value.item_type, len(value.value))
    if value.item_type is ValueType.STRING:
        return kind + b"".join(map(_string, value.value))
    letter = SCALARS[value.item_type].format[1:]
    return kind + struct.pack(f"<{len(value.value)}{letter}", *value.value)
