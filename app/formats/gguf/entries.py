"""Metadata entries that a person sets by hand, written as KEY=TYPE:VALUE."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from app.core.errors import Unsupported
from app.formats.gguf.metadata import FILE_TYPE, QUANTIZATION_VERSION
from app.models.gguf_header import SCALARS, GgufValue, ValueType
from app.models.source_file import sound_name

_INTEGERS = {
    ValueType.UINT8: (0, 2**8 - 1),
    ValueType.INT8: (-(2**7), 2**7 - 1),
    ValueType.UINT16: (0, 2**16 - 1),
    ValueType.INT16: (-(2**15), 2**15 - 1),
    ValueType.UINT32: (0, 2**32 - 1),
    ValueType.INT32: (-(2**31), 2**31 - 1),
    ValueType.UINT64: (0, 2**64 - 1),
    ValueType.INT64: (-(2**63), 2**63 - 1),
}
_LAID_DOWN = ("split.", "general.alignment", QUANTIZATION_VERSION, FILE_TYPE)


def with_entries(
    metadata: Mapping[str, GgufValue], entries: Iterable[tuple[str, str]]
) -> dict[str, GgufValue]:
    """`metadata` with entries replaced or added, each written as "TYPE:VALUE".

    TYPE is one of int, float, bool and str. A whole number keeps the width that the entry has.

    Raises:
        Unsupported: An entry cannot be read, or describes the layout of the file.
    """
    changed = dict(metadata)
    for key, text in entries:
        if not sound_name(key) or key.startswith(_LAID_DOWN):
            raise Unsupported(f"The entry {key!r} cannot be set.", "Nibble writes it by itself.")
        changed[key] = _parsed(key, text, changed.get(key))
    return changed


def _parsed(key: str, text: str, old: GgufValue | None) -> GgufValue:
    kind, _, value = text.partition(":")
    try:
        match kind:
            case "str":
                return GgufValue(ValueType.STRING, value)
            case "float":
                return _fraction(float(value), old)
            case "bool":
                return GgufValue(ValueType.BOOL, {"true": True, "false": False}[value.lower()])
            case "int":
                return _whole(int(value), old)
    except (ValueError, KeyError, OverflowError) as error:
        raise Unsupported(
            f"{value!r} is no value of the type {kind} for the entry {key}.",
            "Write it as KEY=TYPE:VALUE, for example general.name=str:My model.",
            repr(error),
        ) from error
    raise Unsupported(
        f"There is no type {kind!r} for the entry {key}.", "Use one of: int, float, bool, str."
    )


def _whole(number: int, old: GgufValue | None) -> GgufValue:
    wanted = [old.type] if old else []
    wanted += [ValueType.UINT32, ValueType.INT32, ValueType.UINT64, ValueType.INT64]
    for kind in wanted:
        low, high = _INTEGERS.get(kind, (1, 0))
        if low <= number <= high:
            return GgufValue(kind, number)
    raise OverflowError(number)


def _fraction(number: float, old: GgufValue | None) -> GgufValue:
    if not math.isfinite(number):
        raise ValueError("not finite")
    kind = ValueType.FLOAT64 if old and old.type is ValueType.FLOAT64 else ValueType.FLOAT32
    SCALARS[kind].pack(number)  # raises where the number is beyond the type's range
    return GgufValue(kind, number)
