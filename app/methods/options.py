"""Options of methods: declared once, as fields; forms, help and checks follow from that."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import MISSING, dataclass, field, fields
from math import isfinite
from typing import Any, TypeVar, get_args, get_type_hints

from app.core.errors import Unsupported

AUTOMATIC = "auto"
"""How None is written."""
_YES, _NO = ("yes", "true", "on", "1"), ("no", "false", "off", "0")
_WORDS: dict[object, str] = {
    bool: "yes or no",
    int: "a whole number",
    float: "a number",
    tuple[float, ...]: "numbers with commas between them",
}

Kind = TypeVar("Kind")


@dataclass(frozen=True, slots=True)
class Option:
    """One field of a method, as a person sees it."""

    name: str
    sentence: str
    type: Any
    """bool, int, float or tuple[float, ...]."""
    default: Any
    optional: bool = False
    """Whether it may be left to the method, as None, written "auto"."""
    least: float | None = None
    most: float | None = None

    @property
    def values(self) -> str:
        """What may be written, in words."""
        words = _WORDS[self.type]
        if self.least is not None and self.most is not None:
            words += f" from {self.least:g} to {self.most:g}"
        elif self.least is not None:
            words += f", at least {self.least:g}"
        return f"{words}, or {AUTOMATIC}" if self.optional else words

    def written(self, value: Any) -> str:
        """A value as text that `read` understands."""
        if value is None:
            return AUTOMATIC
        if isinstance(value, tuple):
            return ",".join(f"{one:g}" for one in value)
        if isinstance(value, bool):
            return _YES[0] if value else _NO[0]
        return f"{value:g}"

    def read(self, text: str) -> Any:
        """Inverse of `written`.

        Raises:
            Unsupported: That is no value of this option.
        """
        plain = text.strip().lower()
        if self.optional and plain == AUTOMATIC:
            return None
        value = _parsed(plain, self.type)
        numbers = value if isinstance(value, tuple) else (value,)
        if not all(map(self._is_allowed, numbers)):
            raise Unsupported(
                f"The option {self.name} cannot be {text!r}.", f"It is {self.values}."
            )
        return value

    def _is_allowed(self, number: float | None) -> bool:
        if number is None or not isfinite(number):
            return False
        low = self.least is None or number >= self.least
        return low and (self.most is None or number <= self.most)


def option(
    default: Any, sentence: str, *, least: float | None = None, most: float | None = None
) -> Any:
    """A dataclass field that a person may set.

    Args:
        default: Its value where nothing is chosen.
        sentence: What it does, for a form or a help text.
        least: The smallest value allowed, of each number where it is several.
        most: The largest.
    """
    return field(default=default, metadata={"sentence": sentence, "least": least, "most": most})


def options_of(kind: type) -> tuple[Option, ...]:
    """The options of a method's class, in the order of its fields."""
    hints = get_type_hints(kind)
    found = []
    for one in fields(kind):
        if "sentence" not in one.metadata:
            continue
        assert one.default is not MISSING, one.name
        plain, optional = _without_none(hints[one.name])
        found.append(
            Option(one.name, default=one.default, type=plain, optional=optional, **one.metadata)
        )
    return tuple(found)


def with_options(kind: type[Kind], chosen: Iterable[tuple[str, str]]) -> Kind:
    """An instance of a method's class; options that it does not have are left alone.

    Raises:
        Unsupported: A value cannot be read or is not allowed.
    """
    known = {one.name: one for one in options_of(kind)}
    return kind(**{name: known[name].read(text) for name, text in chosen if name in known})


def _without_none(hint: Any) -> tuple[Any, bool]:
    """A type, and whether it was given as that or None."""
    choices = get_args(hint)
    if type(None) not in choices:
        return hint, False
    (plain,) = (one for one in choices if one is not type(None))
    return plain, True


def _parsed(text: str, kind: object) -> Any:
    """A value, or None where the text is none."""
    if kind is bool:
        return text in _YES if text in _YES + _NO else None
    if kind not in {int, float}:
        return tuple(_parsed(part, float) for part in text.split(","))
    try:
        return int(text) if kind is int else float(text)
    except ValueError:
        return None
