"""The sentence beside the word: why not, or what would help.

There are two cures, and which one helps depends on what is too large: the weights want a
smaller format, the context wants to be shorter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.advisor.budget import Budget
from app.advisor.demand import Demand
from app.advisor.memory import cache_bytes
from app.core.fit import FitOptions, FitWord
from app.core.words import size
from app.models.cache import Geometry

if TYPE_CHECKING:
    from app.advisor.assess import Verdict

_SHORTEST = 2048  # tokens: a context that is worth recommending


@dataclass(frozen=True, slots=True)
class Situation:
    """All that the sentence may speak of."""

    verdict: Verdict
    after_closing: FitWord
    budget: Budget
    demand: Demand
    geometry: Geometry
    options: FitOptions
    largest_context: int
    high: int

    @property
    def context(self) -> int:
        """Bytes of the cache."""
        return sum(cache_bytes(layer, self.options) for layer in self.geometry.layers)


def reason(situation: Situation) -> str:
    """One sentence, or two; none where it simply fits."""
    made_for = situation.geometry.context
    if made_for and situation.options.context > made_for:
        return f"The model was made for up to {made_for:,} tokens."
    match situation.verdict.word:
        case FitWord.NOT:
            return _not(situation)
        case FitWord.PARTLY:
            return _partly(situation)
        case FitWord.MEMORY:
            return _memory(situation)
        case FitWord.TIGHT:
            free = max(0, situation.verdict.budget - situation.high)
            return f"Only {size(free)} would stay free: another program could use it up."
        case _:
            return ""


def _not(situation: Situation) -> str:
    if situation.largest_context >= _SHORTEST:
        return (
            f"The context is too long: {situation.options.context:,} tokens take "
            f"{size(situation.context)}. Up to {situation.largest_context:,} would fit."
        )
    missing = size(max(1, situation.high - situation.budget.total))
    if situation.after_closing is not FitWord.NOT:
        return f"{missing} are missing now; with other programs closed it would fit."
    return f"The weights are too large, {missing} are missing: choose a smaller format."


def _partly(situation: Situation) -> str:
    verdict, budget = situation.verdict, situation.budget
    on_cards = sum(share.layers for share in verdict.placed[:-1])
    text = f"{on_cards} of {situation.demand.count} layers fit on the GPU."
    if situation.demand.weights < budget.on_cards and situation.context > budget.on_cards // 4:
        return f"{text} A shorter context would leave room for more."
    has_experts = any(layer.experts for layer in situation.demand.layers)
    if has_experts and not situation.options.experts_in_memory:
        return f"{text} It is faster with the experts in memory, or in a smaller format."
    return f"{text} A smaller format would be faster."


def _memory(situation: Situation) -> str:
    if situation.budget.cards:
        return "There is no room on the GPU; it runs on the processor."
    return "It runs on the processor."
