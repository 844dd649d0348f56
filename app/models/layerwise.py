"""Run a language model layer by layer, so that its size does not matter.

One decoder layer is held at a time; the hidden states of all texts wait on the host, in its memory
or on its disk. Several sets of weights (a model and its quantized result) go through the same pass,
so that their last hidden states are known together and their logits can be compared in slices that
are never stored.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from app.core.errors import Unsupported
from app.models.blank_model import not_layerwise
from app.models.scratch import Scratch
from app.models.skeleton import LayerInputs, Skeleton, Weights, WeightSource

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

log = logging.getLogger(__name__)

_ROUNDING = 1e-5
"""Of float32, relative: libraries may compute the same thing twice in different ways."""

_TOKENS_AT_ONCE = 512  # seconds of a slow processor's time: that is how long a stop may take
_TOKENS_ON_A_DEVICE = 4096  # keeps a large GPU busy


@dataclass(frozen=True, slots=True)
class Step:
    """How far a pass has come."""

    done: int
    total: int
    item: str


@dataclass(slots=True)
class Place:
    """Where to compute. When a device's memory is too small, the processor, from then on."""

    device: str = "cpu"
    scratch: Scratch = field(default_factory=Scratch)
    """Where hidden states wait."""
    full: str = field(default="", init=False)
    """The device that was given up."""

    def __post_init__(self) -> None:
        import torch

        try:
            torch.empty(1, device=self.device)
        except (AssertionError, RuntimeError) as error:
            if self.out_of_memory(error):
                return
            raise Unsupported(
                f"There is no device called {self.device!r} here.", "Choose cpu.", str(error)
            ) from error

    def out_of_memory(self, error: Exception) -> bool:
        """Whether `error` says that the device, not the host, is full."""
        import torch

        if self.device == "cpu":
            return False
        return isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error)

    def give_up_device(self) -> None:
        """Go on with the processor."""
        self.full, self.device = self.device, "cpu"


class Lent:
    """Weights that are copied to the place of computation once, and anew when it changes."""

    def __init__(self, weights: Weights | Sequence[Weights], place: Place) -> None:
        self._weights = weights
        self._place = place
        self._device = ""
        self._placed: Any = None

    def placed(self) -> Any:
        """The weights on the device that is in use."""
        if self._device != self._place.device:
            self._placed = None  # frees the old copy first
            self._placed = moved(self._weights, self._place.device)
            self._device = self._place.device
        return self._placed


def in_slices(
    total: int, size: int, place: Place, compute: Callable[[int, int], T]
) -> Iterator[tuple[int, int, T]]:
    """Compute `total` items `size` at a time: smaller slices, then the processor, if memory ends.

    Yields:
        Start, stop and what `compute(start, stop)` returned.
    """
    start = 0
    while start < total:
        stop = min(total, start + size)
        try:
            result = compute(start, stop)
        except RuntimeError as error:  # torch.OutOfMemoryError is one
            if not place.out_of_memory(error):
                raise
        else:
            yield start, stop, result
            start = stop
            continue
        # Outside of the handler, whose traceback keeps the tensors alive.
        _empty_cache()
        if stop - start > 1:
            size = (stop - start + 1) // 2
        else:
            place.give_up_device()


class Observer(Protocol):
    """Sees what a layer computes."""

    def watch(self, layer: int, weights: Weights) -> AbstractContextManager[object]:
        """Entered around each computation with a layer.

        Args:
            layer: Its number.
            weights: By their names inside it, on the device that computes.
        """

    def keep(self) -> None:
        """What was seen last is complete. What was not kept will be computed, and seen, again."""


class _Nobody:
    """Sees nothing."""

    def watch(self, layer: int, weights: Weights) -> AbstractContextManager[object]:  # noqa: ARG002
        return nullcontext()

    def keep(self) -> None:
        pass


class Stream:
    """The hidden states of all windows on their way through the layers of one model.

    Args:
        skeleton: The architecture.
        source: Its weights; each layer is read once.
        windows: Token ids, (windows, length), int64, on the host.
        place: Where the layers are computed; embeddings are looked up on the host.

    Raises:
        Unsupported: The model cannot be run layer by layer.
        BadModelFile: Weights are missing or have other shapes than the config says.
        NotEnoughSpace: There is no room for the hidden states.
    """

    def __init__(
        self, skeleton: Skeleton, source: WeightSource, windows: Tensor, place: Place
    ) -> None:
        self._skeleton = skeleton
        self._source = source
        self._place = place
        self.hidden, self._inputs, self._one_by_one = _embed(
            skeleton, source, windows, place.scratch
        )

    def advance(
        self, index: int, observer: Observer | None = None, source: WeightSource | None = None
    ) -> Iterator[int]:
        """Replace `hidden`, (windows, length, hidden size), by the output of one layer.

        Args:
            index: The layer.
            observer: Sees what it computes.
            source: Other weights of the same model; None: those that the stream was made with.

        Yields:
            How many windows were dealt with.
        """
        for start, stop, output in self._run(index, observer, source or self._source):
            self.hidden[start:stop] = output
            yield stop - start

    def look(self, index: int, observer: Observer) -> Iterator[int]:
        """Show one layer at work to `observer`; `hidden` stays as it is. See `advance`."""
        for start, stop, _ in self._run(index, observer, self._source):
            yield stop - start

    def outcome(self, index: int, source: WeightSource, hidden: Tensor) -> Tensor:
        """What one layer makes of other hidden states, with other weights of the same model."""
        import torch

        outputs = [output for _, _, output in self._run(index, None, source, hidden)]
        return torch.cat(outputs)

    def _run(
        self,
        index: int,
        observer: Observer | None,
        source: WeightSource,
        hidden: Tensor | None = None,
    ) -> Iterator[tuple[int, int, Tensor]]:
        """Windows from, to, and what the layer makes of their hidden states, on the host."""
        watched = observer or _Nobody()
        all_states = self.hidden if hidden is None else hidden
        place, inputs = self._place, self._inputs[index]
        lent = Lent(self._skeleton.layer_weights(index, source), place)

        def compute(start: int, stop: int) -> Tensor:
            weights = lent.placed()
            here = LayerInputs(moved(inputs.args, place.device), moved(inputs.kwargs, place.device))
            states = moved(all_states[start:stop], place.device)
            with watched.watch(index, weights):
                return self._skeleton.layer(index, weights, states, here).cpu()

        for start, stop, output in in_slices(len(all_states), self._at_once(), place, compute):
            watched.keep()
            yield start, stop, output

    def _at_once(self) -> int:
        """Windows that go through a layer together."""
        tokens = _TOKENS_AT_ONCE if self._place.device == "cpu" else _TOKENS_ON_A_DEVICE
        return 1 if self._one_by_one else max(1, tokens // self.hidden.shape[1])


def run_layers(
    skeleton: Skeleton, sources: Sequence[WeightSource], windows: Tensor, place: Place
) -> Generator[Step, None, list[Tensor]]:
    """Run every window through all layers, with each set of weights; see `Stream`.

    Yields:
        A step after each slice of windows; closing the generator drops everything.

    Returns:
        The last layer's output by source, (windows, length, hidden), float32, on the host.
    """
    streams = [Stream(skeleton, source, windows, place) for source in sources]
    total = skeleton.layers * len(sources) * len(windows)
    done = 0
    for index in range(skeleton.layers):
        for stream in streams:
            for count in stream.advance(index):
                done += count
                yield Step(done, total, f"layer {index + 1} of {skeleton.layers}")
    return [stream.hidden for stream in streams]


def _embed(
    skeleton: Skeleton, source: WeightSource, windows: Tensor, scratch: Scratch
) -> tuple[Tensor, list[LayerInputs], bool]:
    """Hidden states in front of the first layer, and the layers' other inputs.

    The last value is whether those fit one window only, not several at once.
    """
    import torch

    known, windows = torch.unique(windows, return_inverse=True)
    weights = skeleton.outer_weights(source, known)
    first, inputs = skeleton.embed(weights, windows[:1])
    if first.shape[:2] != (1, windows.shape[1]):
        raise not_layerwise("its hidden states have a form of their own")
    states = scratch.empty((len(windows), *first.shape[1:]), first.dtype)
    for number, window in enumerate(windows):
        states[number], these = skeleton.embed(weights, window[None])
        if not _same(inputs, these):
            # Three times in some hundred runs on a busy machine, these came out otherwise once and
            # never again, for no reason that was found: no verdict on a model.
            log.warning("the inputs of the layers differ in window %d: computed again", number)
            _, inputs = skeleton.embed(weights, windows[:1])
            states[number], these = skeleton.embed(weights, window[None])
        if not _same(inputs, these):
            raise not_layerwise("its layers are given more of the text than the hidden states")
    _, of_two = skeleton.embed(weights, windows[:1].expand(2, -1))
    return states, inputs, not _same(inputs, of_two, broadcast=True)


def moved(value: Any, device: str) -> Any:
    """`value` with every tensor inside it on `device`."""
    import torch

    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {key: moved(item, device) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(moved(item, device) for item in value)
    return value


def _same(one: Any, other: Any, *, broadcast: bool = False) -> bool:
    """Whether two values hold the same tensors in the same places.

    With `broadcast`, a tensor of `one` may also be a single row that stands for all of `other`'s.
    """
    import torch

    if isinstance(one, LayerInputs):
        pairs = (one.args, one.kwargs), (other.args, other.kwargs)
        return _same(*pairs, broadcast=broadcast)
    if isinstance(one, torch.Tensor):
        if not isinstance(other, torch.Tensor):
            return False
        single = broadcast and one.ndim == other.ndim > 0 and len(one) == 1
        return _equal(one.expand_as(other[:]) if single else one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(
            _same(one[key], other[key], broadcast=broadcast) for key in one
        )
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(
            _same(left, right, broadcast=broadcast) for left, right in zip(one, other, strict=True)
        )
    return True  # options and caches: not computed from the text


def _equal(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are the same numbers, but for what rounding may do to them."""
    import torch

    if torch.equal(one, other):
        return True
    if one.shape != other.shape or not one.is_floating_point():
        return False
    return bool((one - other).norm() <= _ROUNDING * other.norm())


def _empty_cache() -> None:
    import torch

    gc.collect()
    if torch.accelerator.is_available():
        torch.accelerator.empty_cache()
