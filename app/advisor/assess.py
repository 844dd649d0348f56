"""Does it run here: the word, the numbers behind it, and the sentence that goes with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from app.advisor.budget import Budget, budget_after_closing, budget_now
from app.advisor.demand import Demand
from app.advisor.measured import MeasuredFits
from app.advisor.memory import check_cache_type
from app.advisor.placement import Placing, Share
from app.advisor.reason import Situation, reason
from app.advisor.speed import tokens_per_second
from app.core.errors import Unsupported
from app.core.fit import Fit, FitOptions, FitWord, Need
from app.core.machine import Machine
from app.models.cache import Geometry

COMFORT = 0.9  # of the cards' memory: above, another program can break it
_STEP = 256  # tokens between contexts that are tried
_LONGEST = 1 << 20  # tokens, where the model does not say
_RANKS = {FitWord.FITS: 3, FitWord.TIGHT: 3, FitWord.PARTLY: 2, FitWord.MEMORY: 1, FitWord.NOT: 0}


@dataclass(frozen=True, slots=True)
class Verdict:
    """A placement, or the failure to find one."""

    word: FitWord
    shares: tuple[Share, ...]
    """Those that count: the cards where everything is on them, else all places."""
    budget: int
    placed: tuple[Share, ...] = ()
    """All places, where the word has only some of them in view."""


class Question(Protocol):
    """One model and one program, asked about several budgets and contexts."""

    def verdict(self, budget: Budget, options: FitOptions) -> Verdict:
        """The best placement there is."""


def assess(
    demand: Demand,
    machine: Machine,
    options: FitOptions,
    measured: MeasuredFits | None = None,
    question: Question | None = None,
) -> Fit:
    """Whether and how a model runs on a computer.

    Args:
        demand: The model in one encoding.
        machine: The computer; what is free on it decides.
        options: Context, type of the cache, and reserve.
        measured: Earlier loads, to correct the estimate with.
        question: How another program places the model; llama.cpp where it is None.

    Returns:
        The answer; its word is "not known" where the model cannot be sized, never a guess.
    """
    geometry = demand.geometry
    if geometry is None:
        return Fit(FitWord.UNKNOWN, options, reason=demand.unknown)
    try:
        check_cache_type(geometry, options.cache_type)
    except Unsupported as error:
        return Fit(FitWord.UNKNOWN, options, reason=f"{error.title} {error.hint}")
    question = question or _InLlamaCpp(demand, geometry, measured)
    now = budget_now(machine, options.reserve)
    later = budget_after_closing(machine, options.reserve)
    verdict, then = question.verdict(now, options), question.verdict(later, options)
    largest = _largest_context(question, now, options, geometry)
    low = sum(share.total.low for share in verdict.shares)
    high = sum(share.total.high for share in verdict.shares)
    on_cards = verdict.placed[:-1] if verdict.word is not FitWord.MEMORY else ()
    return Fit(
        word=verdict.word,
        options=options,
        needs=_needs(verdict.shares),
        low=low,
        high=high,
        budget=verdict.budget,
        budget_after_closing=then.budget,
        word_after_closing=then.word,
        layers=demand.count,
        layers_on_gpu=sum(share.layers for share in on_cards),
        placement=tuple(
            (share.place.name, share.layers, share.total.middle) for share in verdict.placed
        ),
        largest_context=largest,
        tokens_per_second=tokens_per_second(verdict.placed),
        reason=reason(Situation(verdict, then.word, now, demand, geometry, options, largest, high)),
    )


class _InLlamaCpp:
    """As llama.cpp places a model: layers over cards, the rest into memory."""

    def __init__(self, demand: Demand, geometry: Geometry, measured: MeasuredFits | None) -> None:
        self._demand = demand
        self._geometry = geometry
        self._measured = measured

    def verdict(self, budget: Budget, options: FitOptions) -> Verdict:
        """The best placement there is."""
        placing = Placing(self._demand, self._geometry, options, self._measured)
        if budget.cards:
            found = self._on_cards(placing, budget)
            if found:
                return found
        shares = placing.in_memory(budget.memory)
        if shares[0].total.high <= budget.memory.budget:
            return Verdict(FitWord.MEMORY, shares, budget.memory.budget, shares)
        return Verdict(FitWord.NOT, shares, budget.total)

    @staticmethod
    def _on_cards(placing: Placing, budget: Budget) -> Verdict | None:
        """As many layers on cards as fit, if the rest fits into memory."""
        best = _most_layers(placing, budget)
        if best is None:
            return None
        cards, host = best[:-1], best[-1]
        lent = sum(share.total.high for share in cards if share.place.shared)
        if host.total.high + lent > budget.memory.budget:
            return None
        if sum(share.layers for share in cards) < placing.count:
            return Verdict(FitWord.PARTLY, best, budget.total, best)
        high = sum(share.total.high for share in cards)
        word = FitWord.FITS if high <= COMFORT * budget.on_cards else FitWord.TIGHT
        return Verdict(word, cards, budget.on_cards, best)


def _largest_context(
    question: Question, budget: Budget, options: FitOptions, geometry: Geometry
) -> int:
    """The longest context with the best kind of place that the model can have."""

    def rank(context: int) -> int:
        return _RANKS[question.verdict(budget, replace(options, context=context)).word]

    best = rank(_STEP)
    if best == 0:
        return 0
    low, high = 1, max(1, (geometry.context or _LONGEST) // _STEP)
    while low < high:
        middle = (low + high + 1) // 2
        if rank(middle * _STEP) >= best:
            low = middle
        else:
            high = middle - 1
    return low * _STEP


def _most_layers(placing: Placing, budget: Budget) -> tuple[Share, ...] | None:
    """The shares with as many layers on cards as there is room for."""
    best = placing.on_cards(budget.cards, budget.memory, placing.count)
    if best:
        return best
    low, high = 1, placing.count - 1
    while low <= high:
        middle = (low + high) // 2
        shares = placing.on_cards(budget.cards, budget.memory, middle)
        if shares is None:
            high = middle - 1
        else:
            best, low = shares, middle + 1
    return best


def _needs(shares: tuple[Share, ...]) -> tuple[Need, ...]:
    """One row for each kind of thing, over all places."""
    rows = {
        "Weights": sum(share.weights for share in shares),
        "Context": sum(share.cache for share in shares),
        "Computing": sum(share.computing.middle for share in shares),
        "Runtime": sum(share.runtime.middle for share in shares),
        "Pictures": sum(share.pictures.middle for share in shares),
    }
    return tuple(Need(name, nbytes) for name, nbytes in rows.items() if nbytes)
