"""Generators that tell how far they are and end with a result, told again in other words."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from typing import TypeVar

Told = TypeVar("Told")
Heard = TypeVar("Heard")
Result = TypeVar("Result")


def retold(
    events: Generator[Heard, None, Result], change: Callable[[Heard], Told]
) -> Generator[Told, None, Result]:
    """Yield what `change` makes of each event, and return what `events` return.

    Whoever closes this generator, or throws into it, closes `events`.
    """
    with closing(events):
        while True:
            try:
                event = next(events)
            except StopIteration as end:
                result: Result = end.value
                return result
            yield change(event)
