"""Where a model's parts go: layers over graphics cards in order, the rest into memory.

As llama.cpp does it: the embedding stays in memory, the last layers go to the cards, the output
layer follows when all layers have found a place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.advisor.demand import Demand, Layer
from app.advisor.measured import Correction, Kind, MeasuredFits
from app.advisor.memory import (
    MIB,
    RUNTIME,
    Span,
    books_bytes,
    cache_bytes,
    compute_bytes,
    host_compute_bytes,
    output_bytes,
    work_bytes,
)
from app.core.fit import FitOptions
from app.models.cache import Geometry

MEMORY = "Memory"
"""Name of the computer's own memory among the places."""
NOTHING = Span(0, 0)
_LEAST_REACH = 16 * MIB  # of a corrected estimate to either side


@dataclass(frozen=True, slots=True)
class Place:
    """A graphics card or the memory, and what there is to fill."""

    name: str
    backend: str
    budget: int
    bandwidth: float = 0.0
    shared: bool = False
    """Whether it is a part of the computer's memory."""


@dataclass(frozen=True, slots=True)
class Share:
    """What is in one place. All but `layers` in bytes."""

    place: Place
    layers: int = 0
    weights: int = 0
    cache: int = 0
    computing: Span = NOTHING
    runtime: Span = NOTHING
    pictures: Span = NOTHING
    """The part that sees pictures, with what it computes."""
    read: float = 0.0
    """Bytes of weights that are read for each token."""

    @property
    def total(self) -> Span:
        """Everything in this place."""
        exact = self.weights + self.cache
        return Span(exact, exact) + self.computing + self.runtime + self.pictures

    def corrected(self, correction: Correction) -> Share:
        """The same as earlier loads make it likely; the difference is put down to the runtime."""
        if not correction.loads:
            return self
        runtime = self.runtime + Span(correction.offset, correction.offset)
        if correction.narrows:
            rest = replace(self, runtime=NOTHING).total
            centre = self.total.middle + correction.offset
            reach = correction.scatter + _LEAST_REACH
            runtime = Span(centre - reach - rest.low, centre + reach - rest.high)
        return replace(self, runtime=runtime)


class Placing:
    """One model with one set of options, ready to be placed."""

    def __init__(
        self,
        demand: Demand,
        geometry: Geometry,
        options: FitOptions,
        measured: MeasuredFits | None = None,
    ) -> None:
        self._demand = demand
        self._measured = measured
        self._geometry = geometry
        self._options = options
        caches = {layer: cache_bytes(layer, options) for layer in set(geometry.layers)}
        without_cache = [0] * (demand.count - len(geometry.layers))
        without_weights = [Layer(0)] * (demand.count - len(demand.layers))
        self._cache = [*(caches[layer] for layer in geometry.layers), *without_cache]
        self._weights = [layer.nbytes for layer in (*demand.layers, *without_weights)]
        self._experts = [layer.experts for layer in (*demand.layers, *without_weights)]
        self._computing = compute_bytes(geometry, options)
        used = geometry.experts_used / geometry.experts if geometry.experts else 1.0
        self._idle = [round(nbytes * (1 - used)) for nbytes in self._experts]

    @property
    def count(self) -> int:
        """Layers."""
        return len(self._cache)

    def in_memory(self, memory: Place) -> tuple[Share, ...]:
        """All of it in the computer's memory."""
        return (self._host(memory, range(self.count), on_cards=False),)

    def on_cards(
        self, cards: Sequence[Place], memory: Place, layers: int
    ) -> tuple[Share, ...] | None:
        """The last `layers` layers on cards, the others in memory; None where a card is too small.

        The memory's share comes last.
        """
        first = self.count - layers
        shares: list[Share] = []
        at = first
        for card in cards:
            stop = at
            while stop < self.count and self._card(card, range(at, stop + 1)).total.high <= (
                card.budget
            ):
                stop += 1
            if stop > at:
                shares.append(self._card(card, range(at, stop)))
            at = stop
        if at < self.count or not shares:
            return None
        return (*shares, self._host(memory, range(first), on_cards=True))

    def _card(self, card: Place, layers: range) -> Share:
        """A card with some layers, and with the output if they are the last of all layers."""
        demand = self._demand
        all_weights = sum(self._weights[index] for index in layers)
        if self._options.experts_in_memory:
            all_weights -= sum(self._experts[index] for index in layers)
            idle = 0
        else:
            idle = sum(self._idle[index] for index in layers)
        is_last = layers.stop == self.count
        if is_last:
            all_weights += demand.output + (demand.embedding if demand.tied else 0)
        share = Share(
            card,
            len(layers),
            all_weights,
            sum(self._cache[index] for index in layers),
            self._computing,
            RUNTIME[card.backend],
            pictures=_pictures(demand) if is_last else NOTHING,
            read=all_weights - idle,
        )
        return self._corrected(share)

    def _host(self, memory: Place, layers: range, *, on_cards: bool) -> Share:
        demand = self._demand
        weights = sum(self._weights[index] for index in layers) + demand.embedding
        read = weights - demand.embedding - sum(self._idle[index] for index in layers)
        if on_cards and self._options.experts_in_memory:
            rest = range(layers.stop, self.count)
            weights += sum(self._experts[index] for index in rest)
            read += sum(self._experts[index] - self._idle[index] for index in rest)
        computing = host_compute_bytes(self._geometry, self._options)
        span = Span(computing, computing)
        if not on_cards:
            weights += demand.output
            read += demand.output + (demand.embedding if demand.tied else 0)
        if layers or (on_cards and self._options.experts_in_memory):
            span = self._computing
            span += Span(0, work_bytes(self._geometry, self._options))
        output = output_bytes(self._geometry)
        share = Share(
            memory,
            len(layers),
            weights,
            sum(self._cache[index] for index in layers),
            span + Span(output, output),
            RUNTIME["cpu"] + books_bytes(demand.tensors),
            pictures=NOTHING if on_cards else _pictures(demand),
            read=read,
        )
        return self._corrected(share)

    def _corrected(self, share: Share) -> Share:
        if self._measured is None:
            return share
        kind = Kind(share.place.name, share.place.backend, self._geometry.family)
        return share.corrected(self._measured.correction(kind))


def _pictures(demand: Demand) -> Span:
    """The projector's weights, and about four tenths more for what it computes."""
    return Span(demand.projector * 11 // 10, demand.projector * 17 // 10)
