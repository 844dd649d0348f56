"""Source to results in one pass: slices of rows, several at a time.

A slice is read (memory-mapped) once and quantized for every result, by one thread of a
pool, so reading, computing and writing overlap without queues between them, and memory is
bounded by the slices in flight. The kernels release the interpreter's lock. What
was written is made durable about once a second by a thread of its own.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from app.calibration.treatment import Treatment
from app.core.errors import BadModelFile
from app.core.events import Note, Progress, TensorDone
from app.core.partial import PartialFile
from app.core.plan import Plan, PlannedTensor
from app.encodings.base import EncodeError
from app.encodings.folder import FolderEncoding
from app.formats.base import Conversion
from app.formats.slices import Slice, cut, work_on
from app.methods.base import Statistics
from app.worker.encoder import Encoder, Manner
from app.worker.importance import Importance

if TYPE_CHECKING:
    from torch import Tensor

_CHECKPOINT_SECONDS = 1.0
_SPEED_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Filling:
    """One result that is being written."""

    number: int
    """Which of the job's results it is."""
    conversion: Conversion
    plan: Plan
    treatment: Treatment
    importance: Importance | None
    files: Sequence[PartialFile]
    """Those of the plan, open."""
    known: Statistics | None = None
    """Of the inputs of whatever is being filled, where the model was seen at work."""

    def of(self, choose: Callable[[PlannedTensor], bool]) -> Filling:
        """With some of the tensors only."""
        tensors = tuple(filter(choose, self.plan.tensors))
        return replace(self, plan=replace(self.plan, tensors=tensors))

    def is_whole(self, slice_weights: int) -> bool:
        """Whether an earlier run has written everything."""
        return all(map(self.has, cut(self.plan, self.conversion, slice_weights)))

    def has(self, piece: Slice) -> bool:
        """Whether an earlier run has written a slice."""
        file = self.files[piece.tensor.file]
        return all(file.has(offset, nbytes) for offset, nbytes in piece.places)

    def write(self, piece: Slice, content: memoryview) -> None:
        """Put the bytes of a slice in their places."""
        end = 0
        for offset, nbytes in piece.places:
            start, end = end, end + nbytes
            self.files[piece.tensor.file].write(offset, content[start:end])

    def manner(self, piece: Slice) -> Manner:
        """How a slice is quantized."""
        encoding = self.conversion.encoding(piece.tensor)
        known: Statistics | Tensor | None = self.known
        if known is None and self.importance is not None:
            known = self.importance.columns(piece.tensor, piece.start)
        return Manner(self.treatment.rounding(encoding), encoding, known)


@dataclass(frozen=True, slots=True)
class Reading:
    """Some rows that are read once, and everything that becomes of them."""

    uses: tuple[tuple[Filling, Slice], ...]

    @property
    def piece(self) -> Slice:
        """The rows, as the first result has them."""
        return self.uses[0][1]

    @property
    def conversion(self) -> Conversion:
        """What makes the rows."""
        return self.uses[0][0].conversion


def readings(fillings: Sequence[Filling], slice_weights: int = 0) -> list[Reading]:
    """Everything that has to be read; results that share a conversion share its rows."""
    found: dict[tuple[int, str, int, int], list[tuple[Filling, Slice]]] = {}
    for filling in fillings:
        for piece in cut(filling.plan, filling.conversion, slice_weights):
            rows = (id(filling.conversion), piece.tensor.name, piece.start, piece.stop)
            found.setdefault(rows, []).append((filling, piece))
    return [Reading(tuple(uses)) for uses in found.values()]


class Pipeline:
    """Fills the partial files of results with the tensors of their plans."""

    def __init__(self, fillings: Sequence[Filling], encoder: Encoder, threads: int) -> None:
        self._fillings = fillings
        self._encoder = encoder
        self._threads = threads
        self._stopped = threading.Event()
        self.work = readings(fillings, encoder.slice_weights)
        """Everything there is to do."""
        self._tally = _Tally(self.work)
        self._flusher: _Flusher | None = None

    def run(self) -> Generator[Progress | TensorDone | Note]:
        """Write every tensor; what an earlier run has finished is kept."""
        with self.begun():
            yield from self.fill(self.work)

    @contextmanager
    def begun(self) -> Iterator[None]:
        """Have the headers written, and what is filled inside this block made durable."""
        for filling in self._fillings:
            for planned, file in zip(filling.plan.files, filling.files, strict=True):
                file.write(0, planned.header)
        with closing(_Flusher([file for one in self._fillings for file in one.files])) as flusher:
            self._flusher = flusher
            yield

    def fill(self, work: Sequence[Reading]) -> Generator[Progress | TensorDone | Note]:
        """Write some of `work`, perhaps with more known of it, inside `begun`."""
        assert self._flusher is not None
        with closing(work_on(work, self._finish, self._threads, _weights)) as finished:
            ended = False
            try:
                for reading, _ in finished:
                    yield from self._tally.add(reading)
                    yield from (Note(text) for text in self._encoder.notes())
                    self._flusher.tick()
                ended = True
            finally:
                if not ended:
                    self._stopped.set()

    def flush(self) -> None:
        """Make durable what was written."""
        for filling in self._fillings:
            for file in filling.files:
                file.checkpoint()

    def _finish(self, reading: Reading) -> None:
        """Read, quantize and write one slice, for the results that do not have it yet."""
        rows: Tensor | None = None
        contents: dict[tuple[Treatment, str, str], memoryview] = {}
        for filling, piece in reading.uses:
            if self._stopped.is_set():
                return
            if filling.has(piece):
                continue
            same = _same_bytes(filling, piece.tensor)
            if same not in contents:
                stored = filling.conversion.stored(piece.tensor, piece.start, piece.stop)
                if stored is not None:
                    contents[same] = stored.flatten().numpy().data
                else:
                    if rows is None:
                        rows = filling.conversion.rows(piece.tensor, piece.start, piece.stop)
                    contents[same] = self._encoded(rows, filling, piece)
            filling.write(piece, contents[same])

    def _encoded(self, rows: Tensor, filling: Filling, piece: Slice) -> memoryview:
        manner = filling.manner(piece)
        if isinstance(manner.encoding, FolderEncoding):
            rows = rows.view(piece.tensor.shape)
        try:
            return self._encoder.encode(rows, manner)
        except EncodeError as error:
            raise BadModelFile(
                f"The tensor {piece.tensor.name} {error}.",
                "The model's files may be damaged: download them again. If they are not, choose "
                "BF16, which stores every number that a model can have.",
            ) from error


def _weights(reading: Reading) -> int:
    return reading.piece.weights


def _same_bytes(filling: Filling, tensor: PlannedTensor) -> tuple[Treatment, str, str]:
    """Results that agree in this have the same bytes for the same rows."""
    importance = filling.importance.digest if filling.importance else ""
    return filling.treatment, tensor.encoding, importance


class _Flusher:
    """Makes what was written durable, beside the work."""

    def __init__(self, files: Sequence[PartialFile]) -> None:
        self._files = files
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="flush")
        self._running: Future[None] = self._thread.submit(self._flush)
        self._begun = time.monotonic()

    def tick(self) -> None:
        """Begin anew if the last time is long enough ago.

        Raises:
            NotEnoughSpace: The disk is full.
        """
        now = time.monotonic()
        if self._running.done() and now - self._begun > _CHECKPOINT_SECONDS:
            self._running.result()
            self._running, self._begun = self._thread.submit(self._flush), now

    def close(self) -> None:
        """Make everything durable."""
        self._thread.shutdown()
        self._flush()

    def _flush(self) -> None:
        for file in self._files:
            file.checkpoint()


class _Tally:
    """Counts finished slices into progress and finished tensors."""

    def __init__(self, work: Sequence[Reading]) -> None:
        self._missing: dict[tuple[int, str], int] = {}
        sources: dict[tuple[int, str], int] = {}
        for reading in work:
            tensor = reading.piece.tensor
            sources[id(reading.conversion), tensor.name] = reading.conversion.source_bytes(tensor)
            for filling, piece in reading.uses:
                self._missing[filling.number, piece.tensor.name] = piece.tensor.weights
        self._total = sum(sources.values())
        self._done = 0.0
        self._recent: deque[tuple[float, float]] = deque([(time.monotonic(), 0.0)])

    def add(self, reading: Reading) -> Iterator[Progress | TensorDone]:
        """What there is to say after `reading`."""
        tensor = reading.piece.tensor
        before = reading.conversion.source_bytes(tensor)
        self._done += before * reading.piece.weights / tensor.weights
        for filling, piece in reading.uses:
            name, written = piece.tensor.name, piece.tensor
            self._missing[filling.number, name] -= piece.weights
            if not self._missing[filling.number, name]:
                yield TensorDone(name, written.encoding, before, written.nbytes, filling.number)
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
