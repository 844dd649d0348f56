"""Reading JSON files of a model with limits, and their fields with their types."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app.core.errors import BadModelFile
from app.models.source_file import SourceFile

_MAX_BYTES = 64_000_000
_MAX_DEPTH = 64
#: Bounds of the objects that a text can become, counted before it is parsed. The largest
#: tokenizers have half a million pairs and two million texts.
_MAX_CONTAINERS = 1_000_000
_MAX_VALUES = 5_000_000

_LARGEST = 3e38
"""Files and devices keep such numbers in single precision."""

_AGAIN = "Download the file again."


def read_json(path: Path, *, unique: bool = False, limit: int = _MAX_BYTES) -> dict[str, Any]:
    """The object in a JSON file.

    Args:
        path: The file.
        unique: Refuse an object with two fields of one name, where otherwise the last one wins.
        limit: Largest size in bytes.

    Raises:
        BadModelFile: The file cannot be read, is no JSON object, or breaks a limit.
    """
    source = SourceFile.look(path)
    if source.size > limit:
        raise BadModelFile(f"{path.name} is larger than {limit // 1_000_000} MB.", _AGAIN)
    with source.open() as file:
        data = file.read(limit)
    source.check_start(data[:32])
    if data.count(b"[") + data.count(b"{") > _MAX_CONTAINERS or data.count(b",") > _MAX_VALUES:
        raise source.damaged("it lists too many things")
    try:
        found = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_unique if unique else None)
    except (ValueError, RecursionError) as error:
        raise source.damaged("it is not valid JSON", error) from error
    if not isinstance(found, dict):
        raise source.damaged("it holds no object with fields")
    if _depth_exceeds(found, _MAX_DEPTH):
        raise source.damaged(f"it is nested more than {_MAX_DEPTH} levels deep")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        double = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"{double[:80]!r} is there twice")
    return fields


def _depth_exceeds(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def whole_number(
    config: Mapping[str, Any],
    key: str,
    default: int | None = None,
    *,
    least: int = 1,
    file: str = "config.json",
) -> int:
    """A field that counts something. A field that is null counts as absent.

    Args:
        config: The fields.
        key: The field's name.
        default: Its value where it is absent; without one, absence is an error.
        least: Smallest value that makes sense.
        file: Where the fields come from, for the message.

    Raises:
        BadModelFile: The field is absent or no whole number of at least `least`.
    """
    value = _field(config, key, default, file)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) is not int or not least <= value < 2**63:
        kind = "a positive whole number" if least == 1 else f"a whole number of at least {least}"
        raise _wrong(file, key, kind, value)
    return value


def number(
    config: Mapping[str, Any],
    key: str,
    default: float | None = None,
    *,
    file: str = "config.json",
) -> float:
    """A field that measures something; see `whole_number`.

    Raises:
        BadModelFile: The field is absent or no finite number.
    """
    value = _field(config, key, default, file)
    if type(value) not in {int, float} or not -_LARGEST < value < _LARGEST or math.isnan(value):
        raise _wrong(file, key, "a number", value)
    return float(value)


def flag(
    config: Mapping[str, Any],
    key: str,
    default: bool | None = None,
    *,
    file: str = "config.json",
) -> bool:
    """A field that is true or false; see `whole_number`.

    Raises:
        BadModelFile: The field is absent or neither.
    """
    value = _field(config, key, default, file)
    if not isinstance(value, bool):
        raise _wrong(file, key, "true or false", value)
    return value


def text(
    config: Mapping[str, Any],
    key: str,
    default: str | None = None,
    *,
    file: str = "config.json",
) -> str:
    """A field that is a text; see `whole_number`.

    Raises:
        BadModelFile: The field is absent or no text.
    """
    value = _field(config, key, default, file)
    if not isinstance(value, str):
        raise _wrong(file, key, "a text", value)
    return value


def items(
    config: Mapping[str, Any],
    key: str,
    default: Sequence[Any] | None = None,
    *,
    file: str = "config.json",
) -> Sequence[Any]:
    """A field that is a list; see `whole_number`.

    Raises:
        BadModelFile: The field is absent or no list.
    """
    value = _field(config, key, default, file)
    if not isinstance(value, list | tuple):
        raise _wrong(file, key, "a list", value)
    return value


def numbers(
    config: Mapping[str, Any], key: str, count: int, default: float, *, file: str = "config.json"
) -> tuple[float, ...]:
    """A field that lists `count` numbers; see `whole_number`.

    Raises:
        BadModelFile: The field is no list of so many finite numbers.
    """
    values = items(config, key, [default] * count, file=file)
    if len(values) != count:
        raise _wrong(file, key, f"a list of {count} numbers", values)
    return tuple(number({key: value}, key, file=file) for value in values)


def section(
    config: Mapping[str, Any],
    key: str,
    default: Mapping[str, Any] | None = None,
    *,
    file: str = "config.json",
) -> Mapping[str, Any]:
    """A field that has fields itself; see `whole_number`.

    Raises:
        BadModelFile: The field is absent or has no fields.
    """
    value = _field(config, key, default, file)
    if not isinstance(value, Mapping):
        raise _wrong(file, key, "an object with fields", value)
    return value


def _field(config: Mapping[str, Any], key: str, default: Any, file: str) -> Any:
    value = config.get(key)
    if value is not None:
        return value
    if default is None:
        raise BadModelFile(f"{file}: {key} is missing.", _AGAIN)
    return default


def _wrong(file: str, key: str, wanted: str, found: object) -> BadModelFile:
    shown = ascii(found) if type(found) is not int else f"a number of {found.bit_length()} bits"
    if type(found) is int and abs(found) < 2**64:
        shown = str(found)
    shown = shown if len(shown) <= 60 else f"{shown[:60]}..."
    return BadModelFile(f"{file}: {key} must be {wanted}, found {shown}.", _AGAIN)
