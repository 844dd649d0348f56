"""Text for terminals: tables, and one line of progress that rewrites itself."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from typing import TypeVar

from app.core import words
from app.core.events import Event, Note, Progress

Result = TypeVar("Result")

PHASES = {
    "prepare": "Preparing",
    "download": "Downloading",
    "calibrate": "Calibrating",
    "quantize": "Quantizing",
    "verify": "Checking the file",
    "evaluate": "Measuring the loss",
    "measure": "Measuring",
    "copy": "Copying",
}
_QUIET_SECONDS = 5.0  # between lines where the output is not a terminal


def positive(text: str) -> int:
    """An argument that counts something.

    Raises:
        ArgumentTypeError: It is not a whole number from 1 up.
    """
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 up")
    return int(text)


def whole(text: str) -> int:
    """An argument that is a number from 0 up.

    Raises:
        ArgumentTypeError: It is not.
    """
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 up")
    return int(text)


_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?(?:([kMGT])(i?)B?|B)?", re.IGNORECASE)


def byte_count(text: str) -> int:
    """An argument that is a size: 2G, 500 MB, 1.5GiB, or a plain number of bytes.

    Raises:
        ArgumentTypeError: It is none, or zero.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None or not float(match[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 2G or 500M")
    power = " kmgt".index((match[2] or " ").lower())
    return max(1, int(float(match[1]) * (1024 if match[3] else 1000) ** power))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Left-aligned columns; the head is left out when it is empty."""
    lines = [*([head] if any(head) else []), *rows]
    widths = [max(len(line[index]) for line in lines) for index in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


class ProgressLine:
    """Shows a job's events on standard error."""

    def __init__(self) -> None:
        self._stream = sys.stderr
        self._terminal = self._stream.isatty()
        self._began = time.monotonic()
        self._first: float | None = None
        self._shown = 0.0
        self._width = 0

    def show(self, event: Event) -> None:
        """Say what is worth saying about `event`."""
        if isinstance(event, Note):
            self.clear()
            self._stream.write(f"note: {event.text}\n")
        elif isinstance(event, Progress):
            now = time.monotonic()
            if now - self._shown >= (0.1 if self._terminal else _QUIET_SECONDS):
                self._shown = now
                self._write(self._line(event))

    def clear(self) -> None:
        """Make room for other output."""
        if self._terminal and self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._width = 0

    def _line(self, event: Progress) -> str:
        if self._first is None and event.overall > 0:
            self._first, self._began = event.overall, time.monotonic()
        parts = [PHASES.get(event.phase, event.phase), event.item]
        if self._first is not None:
            parts.insert(1, words.percent(event.overall))
            gained, spent = event.overall - self._first, time.monotonic() - self._began
            if gained > 0.02:
                parts.append(
                    f"{words.duration(max(0.0, spent * (1 - event.overall) / gained))} left"
                )
        if event.speed:
            parts.append(f"{words.size(event.speed)}/s")
        return " · ".join(part for part in parts if part)

    def _write(self, line: str) -> None:
        if not self._terminal:
            self._stream.write(line + "\n")
        else:
            self._stream.write("\r" + line[:100].ljust(self._width))
            self._width = min(100, len(line))
        self._stream.flush()


def outcome(events: Generator[Event, None, Result]) -> Result:
    """Drive a generator, showing what it says; its result."""
    line = ProgressLine()
    with closing(events):
        try:
            while True:
                line.show(next(events))
        except StopIteration as end:
            result: Result = end.value
            return result
        finally:
            line.clear()
