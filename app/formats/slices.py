"""Cuts planned tensors into slices of rows, and works on several at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TypeVar

from app.core.plan import Plan, PlannedTensor
from app.encodings import find_encoding
from app.encodings.base import Block
from app.encodings.folder import FolderEncoding, in_file_order
from app.formats.base import Conversion

SLICE_WEIGHTS = 1 << 21
"""Weights a slice: 8 MB of float32, small enough to cancel between two of them."""
WEIGHTS_AT_ONCE = 1 << 27
"""Weights of slices under way, where one slice alone has not more: 512 MB of float32."""

Item = TypeVar("Item")
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
    apart: tuple[tuple[int, int], ...] = ()
    """Place and length of each piece of its bytes, where they do not follow each other."""

    @property
    def places(self) -> tuple[tuple[int, int], ...]:
        """Where its bytes belong, one piece after the other: first byte and length."""
        return self.apart or ((self.offset, self.nbytes),)


def cut(
    plan: Plan, conversion: Conversion, limit: int = 0, *, to_read: bool = False
) -> list[Slice]:
    """The slices of a plan in the order of its tensors. They depend on the plan alone.

    No slice has rows of two matrices of a stack: each may have importances of its own. A weight of
    several parts is one slice.

    Args:
        plan: The result.
        conversion: What makes its rows.
        limit: Weights a slice, where it is not to be `SLICE_WEIGHTS`.
        to_read: Whether slices will be read and not written; then weights of several parts are
            cut, too, and have no place in the file.
    """
    weights = limit or SLICE_WEIGHTS
    slices: list[Slice] = []
    for tensor in plan.tensors:
        encoding = find_encoding(tensor.encoding)
        if not isinstance(encoding, FolderEncoding):
            row_bytes = encoding.nbytes(tensor.shape[-1:] or (1,))
            slices += _cut(tensor, conversion, weights, row_bytes)
        elif to_read:
            slices += _cut(tensor, conversion, weights, 0)
        else:
            slices.append(_whole(tensor, encoding))
    return slices


def _whole(tensor: PlannedTensor, encoding: FolderEncoding) -> Slice:
    rows = tensor.weights // (tensor.shape[-1] if tensor.shape else 1)
    apart: tuple[tuple[int, int], ...] = ()
    if tensor.apart:
        parts = in_file_order(encoding.layout(tensor.shape))
        apart = tuple(zip(tensor.apart, (part.nbytes for part in parts), strict=True))
    return Slice(tensor, 0, rows, tensor.offset, tensor.nbytes, tensor.weights, apart)


def _cut(
    tensor: PlannedTensor, conversion: Conversion, limit: int, row_bytes: int
) -> Iterator[Slice]:
    row = tensor.shape[-1] if tensor.shape else 1
    rows = tensor.weights // max(1, row)
    together = conversion.row_step(tensor)
    step = max(1, limit // max(1, row) // together) * together
    matrix = matrix_rows(tensor) or max(1, rows)
    assert matrix % together == 0 or matrix >= rows, tensor.name
    for first in range(0, rows, matrix):
        for start in range(first, first + matrix, step):
            stop = min(first + matrix, start + step)
            at, length = tensor.offset + start * row_bytes, (stop - start) * row_bytes
            yield Slice(tensor, start, stop, at, length, (stop - start) * row)


def matrix_rows(tensor: PlannedTensor) -> int:
    """Rows of each matrix of a stack whose weights are quantized; 0 where it is no such stack."""
    encoding = find_encoding(tensor.encoding)
    quantized = isinstance(encoding, Block) and encoding.block > 1
    return tensor.shape[-2] if quantized and len(tensor.shape) > 2 else 0


def work_on(
    slices: Sequence[Item],
    work: Callable[[Item], Done],
    threads: int,
    weights: Callable[[Item], int] | None = None,
) -> Generator[tuple[Item, Done]]:
    """Yield what `work` makes of each slice as it is finished, with few of them under way.

    Closing the generator, or an error in `work`, waits for the slices under way and starts no
    others.

    Args:
        slices: What there is to do.
        work: Does it.
        threads: How many slices are worked on at a time.
        weights: A slice's weights; no more than `WEIGHTS_AT_ONCE` are under way. None: slices are
            small.
    """
    waiting = deque(slices)
    running: dict[Future[Done], Item] = {}
    taken = 0
    pool = ThreadPoolExecutor(threads, thread_name_prefix="slices")
    try:
        while waiting or running:
            while waiting and len(running) < 2 * threads:
                size = weights(waiting[0]) if weights else 0
                if running and taken + size > WEIGHTS_AT_ONCE:
                    break
                taken += size
                piece = waiting.popleft()
                running[pool.submit(work, piece)] = piece
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                piece = running.pop(future)
                taken -= weights(piece) if weights else 0
                yield piece, future.result()
    finally:
        pool.shutdown(cancel_futures=True)
