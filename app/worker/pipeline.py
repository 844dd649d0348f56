"""Source to result in one pass: slices of rows, several at a time.

A slice is read (memory-mapped), quantized and written by one thread of a pool, so
reading, computing and writing overlap without queues between them, and memory is
bounded by the slices in flight. The kernels release the interpreter's lock. What
was written is made durable about once a second by a thread of its own.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from app.core.errors import BadModelFile
from app.core.events import Note, Progress, TensorDone
from app.core.partial import PartialFile
from app.core.plan import Plan, PlannedTensor
from app.encodings import ENCODINGS
from app.encodings.base import EncodeError
from app.formats.base import Conversion
from app.worker.encoder import Encoder

SLICE_WEIGHTS = 1 << 21
"""Weights a slice: 8 MB of float32, small enough for the caches that matter and for cancelling."""
_CHECKPOINT_SECONDS = 1.0
_SPEED_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Slice:
    """Some rows of one tensor, and where their bytes belong."""

    tensor: PlannedTensor
    start: int
    stop: int
    offset: int
    nbytes: int
    weights: int


def cut(plan: Plan, conversion: Conversion) -> list[Slice]:
    """The slices of a plan in the order of the file. Depends on the plan alone."""
    return [piece for tensor in plan.tensors for piece in _cut(tensor, conversion)]


def _cut(tensor: PlannedTensor, conversion: Conversion) -> Iterator[Slice]:
    row = tensor.shape[-1] if tensor.shape else 1
    rows = tensor.weights // row
    row_bytes = ENCODINGS[tensor.encoding].nbytes((row,))
    together = conversion.row_step(tensor)
    step = max(1, SLICE_WEIGHTS // row // together) * together
    for start in range(0, rows, step):
        stop = min(rows, start + step)
        at, length = tensor.offset + start * row_bytes, (stop - start) * row_bytes
        yield Slice(tensor, start, stop, at, length, (stop - start) * row)


class Pipeline:
    """Fills a partial file with the tensors of a plan."""

    def __init__(self, conversion: Conversion, plan: Plan, encoder: Encoder, threads: int) -> None:
        self._conversion = conversion
        self._plan = plan
        self._encoder = encoder
        self._threads = threads
        self._slices = cut(plan, conversion)
        self._source_bytes = {t.name: conversion.source_bytes(t) for t in plan.tensors}

    def run(self, partial: PartialFile) -> Generator[Progress | TensorDone | Note]:
        """Write every tensor; what an earlier run has finished is kept."""
        partial.write(0, self._plan.header)
        tally = _Tally(self._plan, self._source_bytes)
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="quantize")
        flusher = ThreadPoolExecutor(1, thread_name_prefix="flush")
        try:
            flushed, flush_time = flusher.submit(partial.checkpoint), time.monotonic()
            for piece in self._in_turn(pool, partial):
                yield from tally.add(piece)
                yield from (Note(text) for text in self._encoder.notes())
                if flushed.done() and time.monotonic() - flush_time > _CHECKPOINT_SECONDS:
                    flushed.result()
                    flushed, flush_time = flusher.submit(partial.checkpoint), time.monotonic()
        finally:
            pool.shutdown(cancel_futures=True)
            flusher.shutdown()
            partial.checkpoint()

    def _in_turn(self, pool: ThreadPoolExecutor, partial: PartialFile) -> Iterator[Slice]:
        """Yield slices as they are finished, with a bounded number of them under way."""
        waiting = deque(self._slices)
        running: set[Future[Slice]] = set()
        while waiting or running:
            while waiting and len(running) < 2 * self._threads:
                running.add(pool.submit(self._finish, waiting.popleft(), partial))
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()

    def _finish(self, piece: Slice, partial: PartialFile) -> Slice:
        """Read, quantize and write one slice, unless that was done before."""
        if partial.has(piece.offset, piece.nbytes):
            return piece
        encoding = ENCODINGS[piece.tensor.encoding]
        weight = self._conversion.rows(piece.tensor, piece.start, piece.stop)
        try:
            content = self._encoder.encode(weight, encoding)
        except EncodeError as error:
            raise BadModelFile(
                f"The tensor {piece.tensor.name} {error}.",
                "The model's files are damaged, or it was trained beyond what this format can "
                "store: download it again, or choose BF16.",
            ) from error
        partial.write(piece.offset, content)
        return piece


class _Tally:
    """Counts finished slices into progress and finished tensors."""

    def __init__(self, plan: Plan, source_bytes: dict[str, int]) -> None:
        self._missing = {tensor.name: tensor.weights for tensor in plan.tensors}
        self._source_bytes = source_bytes
        self._total = sum(source_bytes.values())
        self._done = 0.0
        self._recent: deque[tuple[float, float]] = deque([(time.monotonic(), 0.0)])

    def add(self, piece: Slice) -> Iterator[Progress | TensorDone]:
        """What there is to say after `piece`."""
        tensor = piece.tensor
        before = self._source_bytes[tensor.name]
        self._done += before * piece.weights / tensor.weights
        self._missing[tensor.name] -= piece.weights
        if not self._missing[tensor.name]:
            yield TensorDone(tensor.name, tensor.encoding, before, tensor.nbytes)
        share = self._done / max(1, self._total)
        yield Progress(
            "quantize", round(self._done), self._total, tensor.name, share, self._speed()
        )

    def _speed(self) -> float:
        """Source bytes a second over the last seconds."""
        now = time.monotonic()
        self._recent.append((now, self._done))
        while len(self._recent) > 2 and now - self._recent[0][0] > _SPEED_SECONDS:
            self._recent.popleft()
        then, done = self._recent[0]
        return (self._done - done) / (now - then) if now > then else 0.0
