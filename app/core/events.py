"""What a worker says, one JSON object per line.

A worker opens with `Started`, may say `Progress`, `TensorDone` and `Note` any
number of times and `ResultDone` once for each result, and closes with exactly one
of `Finished`, `Failed` or `Cancelled`. `Progress` doubles as the heartbeat: the
worker repeats the latest one at a fixed rate even when nothing moved, so silence
means trouble.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import get_args


@dataclass(frozen=True, slots=True)
class Started:
    """The worker is up and has understood the job."""

    pid: int
    device: str


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the work stands now."""

    phase: str
    """Name of the running step: "prepare", "download", "calibrate", "quantize", "verify",
    "evaluate"."""
    done: int
    """Units dealt with in this phase; bytes of source weights where there are any."""
    total: int
    item: str = ""
    """What is worked on, mostly a tensor's name."""
    overall: float = 0.0
    """Share of the whole job's work that is done, 0 to 1."""
    speed: float = 0.0
    """Units a second over the last seconds; 0 when unknown."""
    host_bytes: int = 0
    """Resident memory of the worker."""
    device_bytes: int = 0


@dataclass(frozen=True, slots=True)
class TensorDone:
    """One tensor has been written and is safe on disk."""

    tensor: str
    encoding: str
    before: int
    """Bytes in the source."""
    after: int
    """Bytes in the result."""
    output: int = 0
    """Which of the job's results it is in."""


@dataclass(frozen=True, slots=True)
class Note:
    """Something the user should be able to read later; not a failure."""

    text: str


@dataclass(frozen=True, slots=True)
class ResultDone:
    """One result is complete and in place, and its report is on disk.

    What is measured afterwards is added to the report before the job ends.
    """

    output: int
    """Which of the job's results, from 0."""
    report: str
    """Path of the report's JSON file."""


@dataclass(frozen=True, slots=True)
class Finished:
    """All results are done."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The job stopped. `title` and `hint` are written for the user."""

    kind: str
    title: str
    hint: str = ""
    details: str = ""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The worker stopped because it was asked to."""


Event = Started | Progress | TensorDone | Note | ResultDone | Finished | Failed | Cancelled
FINAL = (Finished, Failed, Cancelled)
_BY_NAME: dict[str, type[Event]] = {cls.__name__: cls for cls in get_args(Event)}


def encode(event: Event) -> str:
    """One line of JSON, without the newline."""
    return json.dumps({"event": type(event).__name__, **asdict(event)}, ensure_ascii=False)


def decode(line: str | bytes) -> Event:
    """Inverse of `encode`.

    Raises:
        ValueError: The line is not a message of this protocol.
    """
    try:
        fields = json.loads(line)
        return _BY_NAME[fields.pop("event")](**fields)
    except (AttributeError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"not a worker message: {line!r}") from error
