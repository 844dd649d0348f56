"""Run a language model layer by layer, so that its size does not matter.

One decoder layer is held at a time; the hidden states of all texts wait on the host. Several sets
of weights (a model and its quantized result) go through the same pass, so that their last hidden
states are known together and their logits can be compared in slices that are never stored.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from app.core.errors import Unsupported
from app.models.skeleton import LayerInputs, Skeleton, Weights, WeightSource, not_layerwise

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

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


def run_layers(
    skeleton: Skeleton, sources: Sequence[WeightSource], windows: Tensor, place: Place
) -> Generator[Step, None, list[Tensor]]:
    """Run every window through all layers, with each set of weights.

    Args:
        skeleton: The architecture that all `sources` share.
        sources: Sets of weights; each layer is read once from each.
        windows: Token ids, (windows, length), int64, on the host.
        place: Where the layers are computed; embeddings are looked up on the host.

    Yields:
        A step after each slice of windows; closing the generator drops everything.

    Returns:
        The last layer's output by source, (windows, length, hidden), float32, on the host.
    """
    states: list[Tensor] = []
    inputs: list[LayerInputs] = []
    for source in sources:
        hidden, inputs = _embed(skeleton, source, windows)
        states.append(hidden)
    total = skeleton.layers * len(sources) * len(windows)
    done = 0
    for index in range(skeleton.layers):
        for source, hidden in zip(sources, states, strict=True):
            for count in _advance(skeleton, index, source, hidden, inputs[index], place):
                done += count
                yield Step(done, total, f"layer {index + 1} of {skeleton.layers}")
    return states


def _embed(
    skeleton: Skeleton, source: WeightSource, windows: Tensor
) -> tuple[Tensor, list[LayerInputs]]:
    """Hidden states in front of the first layer, and the layers' other inputs."""
    import torch

    weights = skeleton.outer_weights(source)
    states: list[Tensor] = []
    inputs: list[LayerInputs] = []
    for window in windows:
        hidden, these = skeleton.embed(weights, window[None])
        if inputs and not _same(inputs, these):
            raise not_layerwise("its layers are given more of the text than the hidden states")
        states.append(hidden)
        inputs = these
    return torch.cat(states), inputs


def _advance(
    skeleton: Skeleton,
    index: int,
    source: WeightSource,
    hidden: Tensor,
    inputs: LayerInputs,
    place: Place,
) -> Iterator[int]:
    """Replace `hidden` by the output of one layer; yields how many windows were dealt with."""
    tokens = _TOKENS_AT_ONCE if place.device == "cpu" else _TOKENS_ON_A_DEVICE
    at_once = max(1, tokens // hidden.shape[1])
    lent = Lent(skeleton.layer_weights(index, source), place)

    def compute(start: int, stop: int) -> Tensor:
        weights = lent.placed()
        here = LayerInputs(moved(inputs.args, place.device), moved(inputs.kwargs, place.device))
        return skeleton.layer(index, weights, moved(hidden[start:stop], place.device), here).cpu()

    for start, stop, output in in_slices(len(hidden), at_once, place, compute):
        hidden[start:stop] = output
        yield stop - start


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


def _same(one: Any, other: Any) -> bool:
    """Whether two values hold equal tensors in the same places."""
    import torch

    if isinstance(one, LayerInputs):
        return _same((one.args, one.kwargs), (other.args, other.kwargs))
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    return True  # options and caches: not computed from the text


def _empty_cache() -> None:
    import torch

    gc.collect()
    if torch.accelerator.is_available():
        torch.accelerator.empty_cache()
