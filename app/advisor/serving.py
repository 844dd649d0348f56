"""How programs other than llama.cpp place a model, and what they take beside its weights.

All of them keep keys and values as 16 bits. transformers (with device_map="auto") fills cards in
order and leaves the rest in the computer's memory; it sees a whole text at once, so that what it
computes grows with the context. vLLM gives every card a part of each layer, takes nine tenths of a
card at most, reads a few thousand tokens at once, and needs everything on cards; without one, its
build for processors does the same in memory. MLX works in the memory that a Mac lends its graphics.

What transformers takes on a processor was measured (tests/advisor/test_fit_in_transformers.py);
what programs and drivers take on a card are ranges from measurements by others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.advisor.assess import COMFORT, Verdict
from app.advisor.budget import Budget
from app.advisor.demand import Demand
from app.advisor.memory import MIB, Span, cache_bytes
from app.advisor.placement import NOTHING, Place, Share
from app.core.fit import FitOptions, FitWord
from app.core.machine import Machine
from app.core.runtime import Runtime
from app.models.cache import Geometry

_FLOAT = 2  # bytes of a number that is computed
_SCORED = 256  # texts whose next word vLLM tries at its start


@dataclass(frozen=True, slots=True)
class Program:
    """What a program takes, whatever the model."""

    card: Span
    """Bytes of a card."""
    memory: Span
    """Bytes of the computer's memory."""
    least_batch: int
    """Tokens computed at once, at the least."""
    most_batch: int
    """At the most; 0: all of the text."""
    scored: int = 1
    """Tokens for which the scores of all words are computed at once."""
    share: float = 1.0
    """Of a card, that it takes at the most."""
    in_parts: bool = False
    """Whether several cards compute a part of each layer."""
    offloads: bool = False
    """Whether layers may stay in the computer's memory beside a card."""


PROGRAMS = {
    Runtime.TRANSFORMERS: Program(
        Span(400 * MIB, 900 * MIB), Span(220 * MIB, 900 * MIB), 512, 0, offloads=True
    ),
    Runtime.VLLM: Program(
        Span(700 * MIB, 1900 * MIB), Span(1500 * MIB, 4000 * MIB), 2048, 8192,
        scored=_SCORED, share=0.9, in_parts=True,
    ),
    Runtime.MLX: Program(Span(60 * MIB, 300 * MIB), Span(150 * MIB, 500 * MIB), 512, 2048),
}  # fmt: skip


class Serving:
    """One model in one of these programs, asked about several budgets and contexts."""

    def __init__(
        self, program: Program, demand: Demand, geometry: Geometry, machine: Machine
    ) -> None:
        """`machine` has only the cards that the program can use."""
        self._program = program
        self._demand = demand
        self._geometry = geometry
        own = [gpu for gpu in machine.gpus if not gpu.shared] or machine.gpus
        self._ceilings = [round(program.share * gpu.total) for gpu in own]

    def verdict(self, budget: Budget, options: FitOptions) -> Verdict:
        """The best placement there is."""
        ceilings = zip(budget.cards, self._ceilings, strict=True)
        cards = [replace(card, budget=min(card.budget, most)) for card, most in ceilings]
        work = _Work(self._program, self._demand, self._geometry, options)
        if not cards:
            shares = (work.in_memory(budget.memory),)
            fits = shares[0].total.high <= budget.memory.budget
            word = FitWord.MEMORY if fits else FitWord.NOT
            return Verdict(word, shares, budget.memory.budget, shares if fits else ())
        return (self._in_parts if self._program.in_parts else self._in_order)(work, cards, budget)

    @staticmethod
    def _in_parts(work: _Work, cards: Sequence[Place], budget: Budget) -> Verdict:
        """A part of everything on each of 1, 2, 4 or 8 cards that are alike."""
        largest = max(cards, key=lambda card: card.budget)
        alike = sum(card.name == largest.name for card in cards)
        parts = 1 << (alike.bit_length() - 1)
        used = [card for card in cards if card.name == largest.name][:parts]
        shares = tuple(work.part(card, parts) for card in used)
        room = sum(card.budget for card in used)
        if any(share.total.high > share.place.budget for share in shares):
            return Verdict(FitWord.NOT, shares, room)
        return Verdict(_tightness(shares, room), shares, room, (*shares, work.host(budget.memory)))

    def _in_order(self, work: _Work, cards: Sequence[Place], budget: Budget) -> Verdict:
        """Layers over cards as far as there is room; the rest in memory, where that goes."""
        shares = work.fill(cards)
        placed = sum(share.layers for share in shares)
        lent = sum(share.total.high for share in shares if share.place.shared)
        room = sum(card.budget for card in cards)
        if placed == work.count:
            placing = (*shares, work.host(budget.memory))
            return Verdict(_tightness(shares, room), shares, room, placing)
        whole = work.in_memory(budget.memory)
        if not self._program.offloads:
            return Verdict(FitWord.NOT, (whole,), room)
        rest = work.host(budget.memory, range(placed, work.count))
        if shares and rest.total.high + lent <= budget.memory.budget:
            placing = (*shares, rest)
            return Verdict(FitWord.PARTLY, placing, budget.total, placing)
        if whole.total.high <= budget.memory.budget:
            return Verdict(FitWord.MEMORY, (whole,), budget.memory.budget, (whole,))
        return Verdict(FitWord.NOT, (whole,), budget.total)


@dataclass(frozen=True, slots=True)
class _Work:
    """A model with one set of options, ready to be placed."""

    program: Program
    demand: Demand
    geometry: Geometry
    options: FitOptions

    @property
    def count(self) -> int:
        """Layers."""
        return self.demand.count

    def part(self, card: Place, parts: int) -> Share:
        """One of equal parts of everything; all cards read at once."""
        whole = self._share(card, range(self.count), self.program.card)
        return replace(
            whole,
            place=replace(card, bandwidth=parts * card.bandwidth),
            layers=self.count // parts,
            weights=whole.weights // parts,
            cache=whole.cache // parts,
            read=whole.read / parts,
        )

    def fill(self, cards: Sequence[Place]) -> tuple[Share, ...]:
        """As many of the first layers on each card as there is room for."""
        shares: list[Share] = []
        at = 0
        for card in cards:
            stop = at
            best: Share | None = None
            while stop < self.count:
                tried = self._share(card, range(at, stop + 1), self.program.card)
                if tried.total.high > card.budget:
                    break
                best, stop = tried, stop + 1
            if best is not None:
                shares.append(best)
            at = stop
        return tuple(shares)

    def host(self, memory: Place, layers: range = range(0)) -> Share:
        """What stays in the computer's memory beside a card."""
        if layers:
            return self._share(memory, layers, self.program.memory)
        return Share(memory, runtime=self.program.memory)

    def in_memory(self, memory: Place) -> Share:
        """All of it, without a card."""
        return self._share(memory, range(self.count), self.program.memory)

    def _share(self, place: Place, layers: range, runtime: Span) -> Share:
        """Some layers, with the embedding before the first and the output after the last."""
        demand, last = self.demand, layers.stop == self.count
        weights = sum(layer.nbytes for layer in demand.layers[layers.start : layers.stop])
        experts = sum(layer.experts for layer in demand.layers[layers.start : layers.stop])
        ends = demand.embedding * (layers.start == 0) + demand.output * last
        tied = demand.embedding if last and demand.tied else 0
        used = self.geometry.experts_used / self.geometry.experts if self.geometry.experts else 1.0
        pictures = demand.projector * last
        return Share(
            place,
            len(layers),
            weights + ends,
            self._cache(layers),
            self._computing(),
            runtime,
            pictures=Span(pictures, pictures * 3 // 2) if pictures else NOTHING,
            read=weights - experts * (1 - used) + demand.output * last + tied,
        )

    def _cache(self, layers: range) -> int:
        kept = self.geometry.layers[layers.start : layers.stop]
        return sum(cache_bytes(layer, self.options) for layer in kept)

    def _computing(self) -> Span:
        most = self.program.most_batch or self.options.context
        low, high = (min(size, self.options.context) for size in (self.program.least_batch, most))
        scores = 2 * 4 * self.program.scored * self.geometry.vocabulary
        most_alive = 2 * self._activations(max(low, high))  # allocators keep what was let go
        return Span(self._activations(low) + scores, most_alive + scores)

    def _activations(self, tokens: int) -> int:
        """Five vectors of the hidden size live through a layer, beside the widest of its parts."""
        geometry = self.geometry
        widest = max(
            geometry.feed_forward,
            geometry.experts_used * max(3 * geometry.expert_inner, 2 * geometry.hidden),
            geometry.attention,
            geometry.state_inner * 8 // 3,
        )
        return _FLOAT * tokens * (5 * geometry.hidden + geometry.beside + widest)


def _tightness(shares: Sequence[Share], room: int) -> FitWord:
    high = sum(share.total.high for share in shares)
    return FitWord.FITS if high <= COMFORT * room else FitWord.TIGHT
