"""What a job takes: disk, memory, and time; said before it starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from app.core.words import duration, size

_FEW_SECONDS = 9.5
"""What takes less is not told more exactly."""


@dataclass(frozen=True, slots=True)
class TimeSpan:
    """How long something takes, from and to."""

    least: float
    """Seconds."""
    most: float
    guessed: bool = False
    """Whether nothing like it was ever timed on this computer."""

    @override
    def __str__(self) -> str:
        """In words: "about 2 min to 5 min", "perhaps 2 h", "a few seconds"."""
        if self.most < _FEW_SECONDS:
            return "a few seconds"
        least, most = duration(max(1.0, self.least)), duration(self.most)
        text = least if least == most else f"{least} to {most}"
        return f"{'perhaps' if self.guessed else 'about'} {text}"


def in_turn(spans: Iterable[TimeSpan | None]) -> TimeSpan | None:
    """One after the other; None where nobody knows how long one of them takes."""
    known = list(spans)
    found = [span for span in known if span is not None]
    if len(found) < len(known):
        return None
    guessed = any(span.guessed for span in found)
    return TimeSpan(sum(span.least for span in found), sum(span.most for span in found), guessed)


@dataclass(frozen=True, slots=True)
class JobNeeds:
    """Peaks, in bytes, and the time until the results are in their places.

    Measuring what was lost comes after that: it makes do with the memory that it finds.
    """

    disk: int
    """All results together."""
    disk_free: int
    memory: int
    memory_least: int
    """What it takes with luck; with less it cannot work."""
    memory_free: int
    card: int = 0
    """Memory of the graphics card; 0 where none takes part."""
    seconds: TimeSpan | None = None
    """None where nobody knows."""
    importance: TimeSpan | None = None
    """The part of that for an importance matrix; None where none is computed, or nobody knows."""

    @property
    def problem(self) -> str:
        """What is missing, in a sentence; empty when nothing is."""
        if self.disk > self.disk_free:
            return f"The disk needs {size(self.disk - self.disk_free)} more free space."
        if self.memory > self.memory_free:
            return f"It may need {size(self.memory - self.memory_free)} more memory than is free."
        return ""

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> JobNeeds:
        """Read what `dataclasses.asdict` made of one.

        Raises:
            ValueError: The fields are not those of a job's needs.
        """
        try:
            spans = {
                name: TimeSpan(**fields[name]) if fields[name] else None
                for name in ("seconds", "importance")
            }
            return cls(**{**fields, **spans})
        except (KeyError, TypeError) as error:
            raise ValueError("not what a job needs") from error
