"""Runs text through a model, one layer at a time, and collects statistics of what it computes.

What a layer's matrices are multiplied with is seen while the layer is on the device, reduced
there, and added up on the host in float64. The model is held one layer at a time, as in
`app.models.layerwise`; besides it, the hidden states of all windows wait on the host.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from app.calibration.checkpoint import LayerCheckpoint
from app.calibration.collectors import Collected, Collector, Statistic
from app.calibration.multiplications import watching
from app.core.errors import BadModelFile, Unsupported
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
    skeleton = Skeleton(source.config, max_layers=len(source.names))
    if int(windows.max()) >= skeleton.vocabulary:
        raise Unsupported(
            "The model's tokenizer has more words than the model itself.",
            "The files may belong to different models. Download the model again.",
        )
    stream = Stream(skeleton, source, windows, place)
    total = (skeleton.layers + 1) * len(windows)
    first, found = _resumed(checkpoint, collector, stream)
    done = first * len(windows)
    for index in range(first, skeleton.layers):
        observer = _Observer(collector)
        for count in stream.advance(index, observer):
            done += count
            yield Step(done, total, f"layer {index + 1} of {skeleton.layers}")
        _check_finite(stream.hidden, index)
        found.merge(_stored(skeleton, source, observer.kept, skeleton.layer_prefix(index)))
        if checkpoint:
            checkpoint.save(index + 1, stream.hidden, found)
    with closing(_head(skeleton, source, stream.hidden, collector, place)) as rest:
        head = Collected(collector)
        for count, statistic in rest:
            done += count
            head.add(skeleton.head, 0, statistic)
            yield Step(done, total, "output")
    found.merge(_stored(skeleton, source, head))
    return found


def _resumed(
    checkpoint: LayerCheckpoint | None, collector: Collector, stream: Stream
) -> tuple[int, Collected]:
    """Put `stream` where an earlier run was cut off; layers that are done, and what they gave."""
    kept = checkpoint.load(collector) if checkpoint else None
    if kept is None:
        return 0, Collected(collector)
    layers, hidden, found = kept
    if hidden.shape != stream.hidden.shape or hidden.dtype != stream.hidden.dtype:
        return 0, Collected(collector)
    stream.hidden = hidden
    return layers, found


class _Observer:
    """Collects what the matrices of one layer are multiplied with, by their names inside it."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._seen: list[tuple[str, int, int, Tensor]] = []
        self._last: tuple[Tensor, Tensor] | None = None
        self.kept = Collected(collector)

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
        for name, matrix, tokens, value in self._seen:
            self.kept.add(name, matrix, Statistic(tokens, value.cpu().double()))
        self._seen.clear()

    def _note(self, name: str, matrix: int, rows: Tensor) -> None:
        if len(rows):
            self._seen.append((name, matrix, len(rows), self._measured(rows)))

    def _measured(self, rows: Tensor) -> Tensor:
        """The statistic of `rows`; of the same ones (queries, keys and values) only once."""
        if self._last is not None and _is_same(self._last[0], rows):
            return self._last[1]
        value = self._collector.measure(rows.float())
        self._last = rows, value
        return value


def _is_same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors, both alive, are the same numbers in memory, unchanged."""
    same_place = one.data_ptr() == other.data_ptr() and one._version == other._version
    return same_place and one.shape == other.shape and one.stride() == other.stride()


def _head(
    skeleton: Skeleton, source: WeightSource, hidden: Tensor, collector: Collector, place: Place
) -> Generator[tuple[int, Statistic]]:
    """What the output matrix is multiplied with, without multiplying; with windows dealt with."""
    lent = Lent(skeleton.norm_weights(source), place)

    def compute(start: int, _stop: int) -> Statistic:
        rows = skeleton.head_inputs(lent.placed(), moved(hidden[start], place.device))
        return Statistic(len(rows), collector.measure(rows.float()).cpu().double())

    for start, stop, statistic in in_slices(len(hidden), 1, place, compute):
        yield stop - start, statistic


def _stored(
    skeleton: Skeleton, source: WeightSource, found: Collected, prefix: str = ""
) -> Collected:
    """The same statistics under the names that the parameters' tensors have in `source`."""
    named = Collected(found.collector)
    for name in found.names():
        origin = skeleton.origin(source, prefix + name)
        statistics = dict(found.of(name))
        for stored in origin.names if origin else ():
            if stored in named:
                continue  # one tensor of the file became several parameters, with the same inputs
            of_file = origin.matrix_of(stored) if origin else None
            for matrix, statistic in statistics.items():
                if of_file is None or of_file == matrix:
                    named.add(stored, matrix if of_file is None else 0, statistic)
    return named


def _check_finite(hidden: Tensor, layer: int) -> None:
    if not hidden.isfinite().all():
        raise BadModelFile(
            "The model computes values that are not numbers.",
            "Its files are probably damaged. Download the model again.",
            f"after layer {layer}",
        )
