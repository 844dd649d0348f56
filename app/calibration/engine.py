"""Runs text through a model, one layer at a time, and collects statistics of what it computes.

What a layer's matrices are multiplied with is seen while the layer is on the device, reduced
there, and added up on the host in float64. The model is held one layer at a time, as in
`app.models.layerwise`; besides it, the hidden states of all windows wait on the host, in its memory
or on its disk.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.calibration.checkpoint import LayerCheckpoint
from app.calibration.collectors import Collected, Collector, Statistic
from app.calibration.multiplications import watching
from app.core.errors import BadModelFile, Unsupported
from app.core.events import Progress
from app.core.retelling import retold
from app.models.layerwise import Lent, Place, Step, Stream, in_slices, moved
from app.models.skeleton import Skeleton, Weights, WeightSource

if TYPE_CHECKING:
    from torch import Tensor


def collect(
    source: WeightSource,
    windows: Tensor,
    collector: Collector,
    place: Place,
    checkpoint: LayerCheckpoint | None = None,
) -> Generator[Step, None, Collected]:
    """Collect a statistic of the inputs of every matrix of a model.

    Args:
        source: The model's weights.
        windows: Token ids, (windows, length), int64, on the host.
        collector: What to keep.
        place: Where to compute.
        checkpoint: Where the state is kept, for a run that is cut off; of this model and these
            windows.

    Yields:
        A step after each slice of windows; closing the generator drops what is behind the last
        checkpoint.

    Returns:
        Statistics by the names of `source`'s tensors. Matrices of a tensor are counted where it
        holds several, as in a stack of experts; those that no token reached are left out.

    Raises:
        Unsupported: The model cannot be run layer by layer.
        BadModelFile: Weights are missing, do not fit the config, or give no numbers.
    """
    passing = Pass(source, windows, collector, place)
    total = (passing.layers + 1) * len(windows)
    kept = checkpoint.load(collector) if checkpoint else None
    first, found = 0, Collected(collector)
    if kept is not None and kept.restore(passing.hidden):
        first, found = kept.layers, kept.found
    done = first * len(windows)
    for index in range(first, passing.layers + 1):
        last = index == passing.layers
        item = "output" if last else f"layer {index + 1} of {passing.layers}"
        steps = passing.head() if last else passing.layer(index)

        def told(count: int, item: str = item) -> Step:
            nonlocal done
            done += count
            return Step(done, total, item)

        found.merge((yield from retold(steps, told)))
        if checkpoint and not last:
            checkpoint.save(index + 1, passing.hidden, found)
    return found


class Pass:
    """A text on its way through a model, and what is seen of one layer after the other.

    Args:
        source: The model's weights.
        windows: Token ids, (windows, length), int64, on the host.
        collector: What to keep of what is seen.
        place: Where to compute.

    Raises:
        Unsupported: The model cannot be run layer by layer.
        BadModelFile: Weights are missing or do not fit the config.
    """

    def __init__(
        self, source: WeightSource, windows: Tensor, collector: Collector, place: Place
    ) -> None:
        self._source, self._collector, self._place = source, collector, place
        self._skeleton = Skeleton(source.config, max_layers=len(source.names))
        if int(windows.max()) >= self._skeleton.vocabulary:
            raise Unsupported(
                "The model's tokenizer has more words than the model itself.",
                "The files may belong to different models. Download the model again.",
            )
        self._stream = Stream(self._skeleton, source, windows, place)

    @property
    def layers(self) -> int:
        """Number of layers."""
        return self._skeleton.layers

    @property
    def hidden(self) -> Tensor:
        """The hidden states in front of the next layer, (windows, length, hidden size).

        The same tensor for all layers.
        """
        return self._stream.hidden

    def names(self, index: int) -> frozenset[str]:
        """The tensors of the source that a layer is made of."""
        return self._skeleton.layer_names(index, self._source)

    @property
    def head_names(self) -> frozenset[str]:
        """The tensors of the source that the output matrix is made of."""
        origin = self._skeleton.origin(self._source, self._skeleton.head)
        return frozenset(origin.names if origin else ())

    def layer(self, index: int, *, stay: bool = False) -> Generator[int, None, Collected]:
        """Collect what the matrices of one layer are multiplied with.

        Args:
            index: The layer.
            stay: Whether `hidden` stays in front of the layer.

        Yields:
            How many windows were dealt with.

        Returns:
            Statistics as in `collect`. Matrices with the same inputs share one object.
        """
        observer = _Observer(self._collector)
        move = self._stream.look if stay else self._stream.advance
        yield from move(index, observer)
        self._check_seen(index, observer)
        if not stay:
            self._check_finite(index)
        return self._stored(observer.kept(), self._skeleton.layer_prefix(index))

    def advance(self, index: int, source: WeightSource | None = None) -> Generator[int]:
        """Move `hidden` behind a layer, computed with other weights of the same model.

        Yields:
            How many windows were dealt with.
        """
        yield from self._stream.advance(index, None, source)
        self._check_finite(index)

    def outcome(self, index: int, source: WeightSource, hidden: Tensor) -> Tensor:
        """What a layer makes of `hidden`, (windows, length, hidden size), with some weights."""
        return self._stream.outcome(index, source, hidden)

    def head(self) -> Generator[int, None, Collected]:
        """Collect what the output matrix is multiplied with, behind the last layer.

        It is not multiplied. See `layer`.
        """
        lent = Lent(self._skeleton.norm_weights(self._source), self._place)
        hidden, place = self.hidden, self._place

        def compute(start: int, _stop: int) -> Statistic:
            rows = self._skeleton.head_inputs(lent.placed(), moved(hidden[start], place.device))
            return Statistic(len(rows), self._collector.measure(rows.float()).cpu().double())

        found = Collected(self._collector)
        for start, stop, statistic in in_slices(len(hidden), 1, place, compute):
            found.add(self._skeleton.head, 0, statistic)
            yield stop - start
        return self._stored(found)

    def _stored(self, found: Collected, prefix: str = "") -> Collected:
        """The same statistics under the names that the parameters' tensors have in the source."""
        named = Collected(found.collector)
        for name in found.names():
            origin = self._skeleton.origin(self._source, prefix + name)
            statistics = dict(found.of(name))
            for stored in origin.names if origin else ():
                if stored in named:
                    continue  # one tensor of the file became several parameters, of equal inputs
                of_file = origin.matrix_of(stored) if origin else None
                for matrix, statistic in statistics.items():
                    if of_file is None or of_file == matrix:
                        named.add(stored, matrix if of_file is None else 0, statistic)
        return named

    def _check_finite(self, layer: int) -> None:
        if not all(bool(states.isfinite().all()) for states in self.hidden):
            raise _no_numbers(f"after layer {layer}")

    def _check_seen(self, layer: int, observer: _Observer) -> None:
        """Inputs can be too large for statistics where hidden states are not."""
        import torch

        # A statistic may take gigabytes: nothing as large is made to look at it.
        extremes = (one for value in observer.values() for one in torch.aminmax(value))
        if not all(bool(one.isfinite()) for one in extremes):
            raise _no_numbers(f"in layer {layer}")


def _no_numbers(where: str) -> BadModelFile:
    return BadModelFile(
        "The model computes values that are not numbers.",
        "Its files are probably damaged. Download the model again.",
        where,
    )


def in_words(step: Step) -> Progress:
    """How far a calibration is, as a worker says it."""
    return Progress("calibrate", step.done, step.total, step.item, step.done / step.total)


@dataclass(slots=True)
class _Seen:
    """Inputs of some matrices in one slice of windows."""

    tokens: int
    value: Tensor
    """As the collector measured them."""
    matrices: list[tuple[str, int]] = field(default_factory=list)
    """Names, and places in them, of the matrices that were given these inputs."""


class _Observer:
    """Collects what the matrices of one layer are multiplied with, by their names inside it."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._seen: list[_Seen] = []
        self._last: Tensor | None = None
        self._totals: dict[tuple[tuple[str, int], ...], Statistic] = {}

    @contextmanager
    def watch(self, layer: int, weights: Weights) -> Iterator[None]:  # noqa: ARG002
        """See `layerwise.Observer`."""
        self._seen.clear()
        try:
            with watching(weights, self._note):
                yield
        finally:
            self._last = None  # lets go of the device's memory

    def keep(self) -> None:
        """See `layerwise.Observer`."""
        for seen in self._seen:
            matrices = tuple(seen.matrices)
            value = seen.value if self._collector.is_large else seen.value.cpu().double()
            known = self._totals.get(matrices)
            if known is None:
                self._totals[matrices] = Statistic(seen.tokens, value)
            else:  # the device may have been given up in between
                total = self._collector.absorb(known.value.to(value.device), value)
                self._totals[matrices] = Statistic(known.tokens + seen.tokens, total)
        self._seen.clear()

    def values(self) -> Iterator[Tensor]:
        """What was measured, as the collector made it."""
        return (total.value for total in self._totals.values())

    def kept(self) -> Collected:
        """Everything; matrices that were given the same inputs throughout share their object."""
        found = Collected(self._collector)
        for matrices, total in self._totals.items():
            statistic = Statistic(total.tokens, total.value.cpu())
            for name, matrix in matrices:
                found.add(name, matrix, statistic)
        return found

    def _note(self, name: str, matrix: int, rows: Tensor) -> None:
        if not len(rows):
            return
        if self._last is None or not _is_same(self._last, rows):
            value = self._collector.measure(rows.float())
            self._seen.append(_Seen(len(rows), value))
            self._last = rows
        self._seen[-1].matrices.append((name, matrix))


def _is_same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors, both alive, are the same numbers in memory, unchanged."""
    same_place = one.data_ptr() == other.data_ptr() and one._version == other._version
    return same_place and one.shape == other.shape and one.stride() == other.stride()
