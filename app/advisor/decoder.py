"""The layers that a text runs through, as far as their work takes memory and time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from app.advisor.demand import EXPERTS, demand_of_plan, layer_of
from app.core.plan import Plan, PlannedTensor
from app.models.base import Checkpoint

_SHARED = 3
"""Inputs of a width that differ, at most: of attention, of its output, of the feed-forward part.
All other matrices of a layer share theirs."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What some matrices of a layer are multiplied with, of one width."""

    width: int
    count: int
    """How many there are that differ."""
    share: float = 1.0
    """Of all tokens, those that come to each."""


@dataclass(frozen=True, slots=True)
class DecoderLayer:
    """One layer."""

    weights: int
    busy: float
    """Weights that a token is multiplied with; of a mixture, those of few experts."""
    inputs: tuple[Inputs, ...]

    @property
    def moments(self) -> int:
        """Numbers of the second moments of all inputs."""
        return sum(one.count * one.width**2 for one in self.inputs)

    @property
    def busy_moments(self) -> float:
        """Of those, the numbers that a token changes."""
        return sum(one.share * one.count * one.width**2 for one in self.inputs)

    @property
    def columns(self) -> int:
        """Numbers of one row of each of the inputs."""
        return sum(one.count * one.width for one in self.inputs)

    @property
    def widest(self) -> int:
        """Numbers of the longest row."""
        return max((one.width for one in self.inputs), default=0)


@dataclass(frozen=True, slots=True)
class Decoder:
    """All of them."""

    layers: tuple[DecoderLayer, ...]
    hidden: int
    """Numbers of a token between layers."""

    @property
    def busy(self) -> float:
        """Weights that a token is multiplied with on its way."""
        return sum(layer.busy for layer in self.layers)

    @property
    def busy_moments(self) -> float:
        """Numbers of second moments that a token changes on its way."""
        return sum(layer.busy_moments for layer in self.layers)


def decoder_of(plan: Plan, source: Checkpoint) -> Decoder:
    """The layers of a model, told by the shapes of what is made of it."""
    geometry = demand_of_plan(plan, source).geometry
    experts, used = (geometry.experts, geometry.experts_used) if geometry else (0, 0)
    by_layer: dict[int, list[PlannedTensor]] = {}
    for tensor in plan.tensors:
        index = layer_of(tensor.name)
        if index is not None and tensor.shape:
            by_layer.setdefault(index, []).append(tensor)
    layers = tuple(_layer(by_layer[index], experts, used) for index in sorted(by_layer))
    if geometry:
        return Decoder(layers, geometry.hidden)
    widths = Counter(one.shape[-1] for some in by_layer.values() for one in some)
    return Decoder(layers, max(widths, key=widths.__getitem__, default=0))  # of most matrices


def _layer(tensors: Sequence[PlannedTensor], experts: int, used: int) -> DecoderLayer:
    share = used / experts if experts and used else 1.0
    weights, busy = 0, 0.0
    shared, routed = Counter[int](), Counter[int]()
    for tensor in tensors:
        of_expert = EXPERTS.search(tensor.name) is not None
        weights += tensor.weights
        busy += tensor.weights * (share if of_expert else 1.0)
        if len(tensor.shape) < 2:
            continue
        if of_expert:
            routed[tensor.shape[-1]] += tensor.shape[0] if len(tensor.shape) > 2 else 1
        else:
            shared[tensor.shape[-1]] += 1
    inputs = [Inputs(width, min(count, _SHARED)) for width, count in shared.items()]
    # An expert's matrices of the same width share their inputs.
    inputs += [
        Inputs(width, min(count, experts or count), share) for width, count in routed.items()
    ]
    return DecoderLayer(weights, busy, tuple(inputs))
