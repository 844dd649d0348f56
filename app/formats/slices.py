"""Cuts planned tensors into slices of rows, and works on several at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TypeVar

from app.core.plan import Plan, PlannedTensor
from app.encodings import ENCODINGS
from app.formats.base import Conversion

SLICE_WEIGHTS = 1 << 21
"""Weights a slice: 8 MB of float32, small enough to cancel between two of them."""

Done = TypeVar("Done")


@dataclass(frozen=True, slots=True)
class Slice:
    """Some rows of one tensor, and where their bytes belong in the file."""

    tensor: PlannedTensor
    start: int
    stop: int
    offset: int
    nbytes: int
    weights: int


def cut(plan: Plan, conversion: Conversion) -> list[Slice]:
    """The slices of a plan in the order of the file. They depend on the plan alone."""
    return [piece for tensor in plan.tensors for piece in _cut(tensor, conversion)]


def _cut(tensor: PlannedTensor, conversion: Conversion) -> Iterator[Slice]:
    row = tensor.shape[-1] if tensor.shape else 1
    rows = tensor.weights // max(1, row)
    row_bytes = ENCODINGS[tensor.encoding].nbytes((row,))
    together = conversion.row_step(tensor)
    step = max(1, SLICE_WEIGHTS // max(1, row) // together) * together
    for start in range(0, rows, step):
        stop = min(rows, start + step)
        at, length = tensor.offset + start * row_bytes, (stop - start) * row_bytes
        yield Slice(tensor, start, stop, at, length, (stop - start) * row)


def work_on(
    slices: list[Slice], work: Callable[[Slice], Done], threads: int
) -> Generator[tuple[Slice, Done]]:
    """Yield what `work` makes of each slice as it is finished, with few of them under way.

    Closing the generator, or an error in `work`, waits for the slices under way and starts no
    others.
    """
    waiting = deque(slices)
    running: dict[Future[Done], Slice] = {}
    pool = ThreadPoolExecutor(threads, thread_name_prefix="slices")
    try:
        while waiting or running:
            while waiting and len(running) < 2 * threads:
                piece = waiting.popleft()
                running[pool.submit(work, piece)] = piece
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield running.pop(future), future.result()
    finally:
        pool.shutdown(cancel_futures=True)
