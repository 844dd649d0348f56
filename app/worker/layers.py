"""Fills a result layer by layer, with methods that have to see the model at work.

For each layer: the text runs through it, and statistics of its matrices' inputs are summed; its
tensors are quantized with them and written; where the method wants it, the text runs through the
written layer again, so that the next layer sees what the quantized model will compute. Statistics
of one layer are held at a time. Tensors outside of layers come last.

What is left of a run that was cut off: the slices that the files have, and now and then the hidden
states behind a layer. The rest is computed again, with the same bytes as outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar

from app.calibration.checkpoint import LayerCheckpoint
from app.calibration.collectors import Collected
from app.calibration.engine import Pass
from app.calibration.matching import Match, Matching
from app.calibration.moments import Gather
from app.calibration.smoothing import Smoother
from app.calibration.treatment import CASTS, Treatment
from app.core.events import Note, Progress, TensorDone
from app.core.retelling import retold
from app.encodings import find_encoding
from app.encodings.base import Encoding
from app.formats.slices import Slice, matrix_rows
from app.methods.base import Statistics
from app.methods.nearest import Nearest
from app.models.folded import Folded
from app.models.named_weights import NamedWeights
from app.models.skeleton import WeightSource
from app.worker.encoder import Encoder
from app.worker.findings import Findings
from app.worker.pipeline import Filling, Pipeline, Reading
from app.worker.shown import Shown

Events = Generator[Progress | TensorDone | Note]
Outcome = TypeVar("Outcome")

_ENOUGH = 0.5
"""Tokens for each column that a matrix has to meet before more than their sizes is trusted. With
fewer, GPTQ was measured to gain nothing over weighed rounding on a text that it had not seen."""
_PROBED = 256
"""Tokens that show whether a smoothing leaves a layer's outcome the same."""
_NEAREST = Treatment((Nearest(),))
_FILLED_A_SECOND = 2e6
_MULTIPLIED_A_SECOND = 30e9
"""Weights, and operations with them, of one thread. Only their ratio matters."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What there is of a result besides the parts that are being filled."""

    written: Callable[[], WeightSource]
    """Opens what has been written until then."""
    states: LayerCheckpoint
    """Where hidden states are kept for another run."""
    findings: Findings
    """What the user should know in the end."""
    folded: Folded | None = None
    """The weights that are quantized, where they are smoothed before."""
    keep_folds: Callable[[], None] = lambda: None
    """Makes sure that another run finds the folds."""


class LayerFiller:
    """Fills one result."""

    def __init__(
        self, shown: Shown, filling: Filling, encoder: Encoder, threads: int, kept: Kept
    ) -> None:
        """See `Filling` and `Pipeline`."""
        self._treatment, self._encoder = filling.treatment, encoder
        self._kept = kept
        self._gather = Gather(self._treatment.needs)
        self._pass = Pass(shown.source, shown.windows, self._gather, shown.place)
        self._smoother = self._smoother_of(shown, kept.folded)
        self._matching = Matching(shown.source.description)
        self._pipeline = Pipeline([filling], encoder, threads)
        self._layers, self._rest = self._by_layers(self._pipeline.work)
        self._sees_quantized = self._treatment.main.sees_quantized
        self._course = _Course(self._pass.layers, shown.windows.numel(), self._sees_quantized)

    def run(self) -> Events:
        """Write every tensor; what an earlier run has finished is kept.

        Raises:
            AppError: The model cannot be run, or a file cannot be written.
        """
        with self._pipeline.begun():
            first = self._resumed()
            for index, work in enumerate(self._layers):
                if index < first:
                    yield from self._fill(str(index), work, Collected(self._gather))
                    self._course.skip()
                else:
                    yield from self._layer(index, work)
            yield from self._end()
        self._kept.states.forget()

    def _layer(self, index: int, work: Sequence[Reading]) -> Events:
        item = f"layer {index + 1} of {self._pass.layers}"
        found = Collected(self._gather)
        if self._is_missing(work):
            some = self._pass.hidden[: 1 + _PROBED // self._pass.hidden.shape[1]].clone()
            seen = self._pass.layer(index, stay=self._sees_quantized)
            found = yield from self._shown(seen, item)
            if self._smoother and index not in self._smoother.folded.layers:
                for name in self._smoother.smooth(index, some, found, self._encodings(work)):
                    yield self._course.after(0, name)
                left, self._smoother.left = self._smoother.left, {}
                self._kept.findings.left_alone(str(index), left)
                self._kept.keep_folds()
        elif not self._sees_quantized:
            yield from self._shown(self._pass.advance(index), item)
        yield from self._fill(str(index), work, found)
        if self._sees_quantized:
            yield from self._shown(self._pass.advance(index, self._kept.written()), item)
        self._pipeline.flush()  # a state behind layers that are not all there would be of no use
        self._kept.states.save(index + 1, self._pass.hidden, Collected(self._gather))

    def _end(self) -> Events:
        found = Collected(self._gather)
        heads = self._pass.head_names
        of_head = [
            reading
            for reading in self._rest
            if not heads.isdisjoint(self._matching.sources(reading.piece.tensor))
            and reading.piece.tensor.encoding not in CASTS
        ]
        if self._is_missing(of_head):
            found = yield from self._shown(self._pass.head(), "output")
        yield from self._fill("outside", self._rest, found)

    def _shown(
        self, steps: Generator[int, None, Outcome], item: str
    ) -> Generator[Progress, None, Outcome]:
        length = self._pass.hidden.shape[1]
        return retold(steps, lambda count: self._course.after(count * length, item))

    def _fill(self, place: str, work: Sequence[Reading], found: Collected) -> Events:
        """Write the tensors of `work` with what is known of their inputs."""
        groups = self._groups(work, found)
        few = [matrix for group in groups if group.met_few for matrix in group.matrices]
        self._kept.findings.met_few(place, len(few))
        with _one_thread_each():
            for group in groups:
                with closing(self._pipeline.fill(self._with_known(group))) as events:
                    for event in events:
                        yield self._course.filled(event)

    def _groups(self, work: Sequence[Reading], found: Collected) -> Sequence[_Group]:
        """What has the same inputs, together."""
        groups: dict[object, _Group] = {}
        for reading in work:
            tensor = reading.piece.tensor
            match = None
            if tensor.encoding not in CASTS:
                match = self._matching.find(found, tensor)[_matrix(reading.piece)]
            key = (id(match.statistic), match.order) if match else None
            groups.setdefault(key, _Group(match)).readings.append(reading)
        return list(groups.values())

    def _with_known(self, group: _Group) -> Sequence[Reading]:
        """The same slices, told how they are quantized."""
        if not self._is_missing(group.readings):
            return group.readings
        match, treatment, known = group.match, _NEAREST, None
        if match is not None:
            known = match.arranged(self._smoothed(group, match))
            if group.met_few:
                known = Statistics(importance=known.importance)
            else:
                treatment = self._treatment
            known = self._encoder.lend(known)
        return [
            Reading(
                tuple(
                    (replace(filling, treatment=treatment, known=known), piece)
                    for filling, piece in reading.uses
                )
            )
            for reading in group.readings
        ]

    def _smoothed(self, group: _Group, match: Match) -> Statistics:
        """What is known of the inputs, once they are divided by the factors of a smoothing."""
        known = self._gather.statistics(match.statistic)
        tensors = (reading.piece.tensor for reading in group.readings)
        names = [name for tensor in tensors for name in self._matching.sources(tensor)]
        factors = self._smoother.factors(names) if self._smoother else None
        return known if factors is None else known.scaled(factors)

    def _encodings(self, work: Sequence[Reading]) -> dict[str, Encoding]:
        """What the source's matrices will be stored in, by their names."""
        found = {}
        for reading in work:
            tensor = reading.piece.tensor
            if tensor.encoding not in CASTS:
                encoding = find_encoding(tensor.encoding)
                found.update(dict.fromkeys(self._matching.sources(tensor), encoding))
        return found

    def _smoother_of(self, shown: Shown, folded: Folded | None) -> Smoother | None:
        smoothing = self._treatment.smoothing
        if smoothing is None or folded is None:
            return None
        source = NamedWeights(folded)
        return Smoother(smoothing, folded, source, self._pass, self._gather, shown.place)

    def _resumed(self) -> int:
        """Layers that are done; the text is put behind them."""
        kept = self._kept.states.load(self._gather)
        if kept is None or any(map(self._is_missing, self._layers[: kept.layers])):
            return 0
        return kept.layers if kept.restore(self._pass.hidden) else 0

    def _is_missing(self, work: Sequence[Reading]) -> bool:
        """Whether some of it has not been written."""
        uses = (use for reading in work for use in reading.uses)
        return any(not filling.has(piece) for filling, piece in uses)

    def _by_layers(self, work: Sequence[Reading]) -> tuple[list[list[Reading]], list[Reading]]:
        """What belongs to each layer, and everything else."""
        layers = range(self._pass.layers)
        place = {name: index for index in layers for name in self._pass.names(index)}
        found: list[list[Reading]] = [[] for _ in layers]
        rest: list[Reading] = []
        for reading in work:
            sources = self._matching.sources(reading.piece.tensor)
            places = {place.get(name, -1) for name in sources} or {-1}
            (found[places.pop()] if len(places) == 1 and -1 not in places else rest).append(reading)
        return found, rest


@dataclass(slots=True)
class _Group:
    """Slices of matrices that have the same inputs."""

    match: Match | None
    readings: list[Reading] = field(default_factory=list)

    @property
    def met_few(self) -> bool:
        """Whether its matrices met too few tokens to learn from."""
        columns = self.readings[0].piece.tensor.shape[-1]
        return self.match is not None and self.match.statistic.tokens < _ENOUGH * columns

    @property
    def matrices(self) -> set[tuple[str, int]]:
        """By the names of their tensors, and their places in these."""
        pieces = (reading.piece for reading in self.readings)
        return {(piece.tensor.name, _matrix(piece)) for piece in pieces}


class _Course:
    """How far the whole has come: a number that only grows."""

    def __init__(self, layers: int, tokens: int, sees_quantized: bool) -> None:
        passes = 2 if sees_quantized else 1
        self._per_layer = passes * tokens
        self._total = layers * self._per_layer + tokens
        self._read = 0
        self._filled = 0.0
        reading = 2 * self._per_layer / _MULTIPLIED_A_SECOND
        self._share = reading / (reading + 1 / _FILLED_A_SECOND)

    def after(self, tokens: int, item: str) -> Progress:
        """More tokens have run through a layer."""
        self._read += tokens
        return Progress("calibrate", self._read, self._total, item, self._overall())

    def filled(self, event: Progress | TensorDone | Note) -> Progress | TensorDone | Note:
        """More has been written, of which `event` tells."""
        if not isinstance(event, Progress):
            return event
        self._filled = event.overall
        return replace(event, overall=self._overall())

    def skip(self) -> None:
        """A layer was done by an earlier run."""
        self._read += self._per_layer

    def _overall(self) -> float:
        read = min(1.0, self._read / self._total)
        return self._share * read + (1 - self._share) * self._filled


def _matrix(piece: Slice) -> int:
    """Which matrix of its tensor a slice is of."""
    rows = matrix_rows(piece.tensor)
    return piece.start // rows if rows else 0


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Slices keep all processors busy; threads inside of them would only wait for each other."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
