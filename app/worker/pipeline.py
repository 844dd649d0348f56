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
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from app.core.errors import BadModelFile
from app.core.events import Note, Progress, TensorDone
from app.core.partial import PartialFile
from app.core.plan import Plan
from app.encodings import ENCODINGS
from app.encodings.base import EncodeError
from app.formats.base import Conversion
from app.formats.slices import Slice, cut, work_on
from app.worker.encoder import Encoder

_CHECKPOINT_SECONDS = 1.0
_SPEED_SECONDS = 5.0


class Pipeline:
    """Fills a partial file with the tensors of a plan."""

    def __init__(self, conversion: Conversion, plan: Plan, encoder: Encoder, threads: int) -> None:
        self._conversion = conversion
        self._plan = plan
        self._encoder = encoder
        self._threads = threads

    def run(self, partial: PartialFile) -> Generator[Progress | TensorDone | Note]:
        """Write every tensor; what an earlier run has finished is kept."""
        partial.write(0, self._plan.header)
        tally = _Tally(self._plan, self._conversion)
        slices = cut(self._plan, self._conversion)
        flusher = ThreadPoolExecutor(1, thread_name_prefix="flush")
        try:
            flushed, flush_time = flusher.submit(partial.checkpoint), time.monotonic()
            with closing(
                work_on(slices, lambda piece: self._finish(piece, partial), self._threads)
            ) as finished:
                for piece, _ in finished:
                    yield from tally.add(piece)
                    yield from (Note(text) for text in self._encoder.notes())
                    if flushed.done() and time.monotonic() - flush_time > _CHECKPOINT_SECONDS:
                        flushed.result()
                        flushed, flush_time = flusher.submit(partial.checkpoint), time.monotonic()
        finally:
            flusher.shutdown()
            partial.checkpoint()

    def _finish(self, piece: Slice, partial: PartialFile) -> None:
        """Read, quantize and write one slice, unless that was done before."""
        if partial.has(piece.offset, piece.nbytes):
            return
        ready = self._conversion.stored(piece.tensor, piece.start, piece.stop)
        if ready is not None:
            partial.write(piece.offset, ready.flatten().numpy().data)
            return
        encoding = ENCODINGS[piece.tensor.encoding]
        weight = self._conversion.rows(piece.tensor, piece.start, piece.stop)
        try:
            content = self._encoder.encode(weight, encoding)
        except EncodeError as error:
            raise BadModelFile(
                f"The tensor {piece.tensor.name} {error}.",
                "The model's files may be damaged: download them again. If they are not, choose "
                "BF16, which stores every number that a model can have.",
            ) from error
        partial.write(piece.offset, content)


class _Tally:
    """Counts finished slices into progress and finished tensors."""

    def __init__(self, plan: Plan, conversion: Conversion) -> None:
        self._missing = {tensor.name: tensor.weights for tensor in plan.tensors}
        self._source_bytes = {t.name: conversion.source_bytes(t) for t in plan.tensors}
        self._total = sum(self._source_bytes.values())
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
        done, share = round(self._done), self._done / max(1, self._total)
        yield Progress("quantize", done, self._total, tensor.name, share, self._speed())

    def _speed(self) -> float:
        """Source bytes a second over the last seconds."""
        now = time.monotonic()
        self._recent.append((now, self._done))
        while len(self._recent) > 2 and now - self._recent[0][0] > _SPEED_SECONDS:
            self._recent.popleft()
        then, done = self._recent[0]
        return (self._done - done) / (now - then) if now > then else 0.0
