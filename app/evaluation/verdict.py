"""Numbers in words: how much of a model was lost.

Two figures decide, and the worse one counts. KL(source || result) is how many nats the result's
prediction is off, averaged over positions; it sees the whole distribution. The share of equal
first tokens is what a person meets: how often plain decoding would have taken another word. It
depends on the text, because near ties are common where the text is hard to guess; its thresholds
are therefore the more generous ones.

The thresholds are a choice. They lie between formats whose reputation is known, measured on
SmolLM2-135M, because small models lose more than large ones. On the text that is shipped here
(KL, share): Q8_0 0.0010, 97.6 %; Q6_K 0.0041, 94.8 %; Q4_K_M 0.041, 85.5 %; Q4_K_S 0.045,
84.7 %; Q4_0 0.26, 67.9 %. With llama.cpp's perplexity tool on another text: Q8_0 0.0033, 97.4 %;
Q4_K_M with an importance matrix 0.025, 93.0 %, without 0.038, 89.9 %; Q4_0 0.205, 82.6 %; Q2_K
0.32, 79.8 %. The last threshold lies far beyond all of them: such a file was not made coarsely
but wrongly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from app.core.report import Quality


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a person should think of a result."""

    word: str
    """A few words: "small loss"."""
    detail: str
    """One sentence with the numbers."""
    level: int
    """0 is the original, 5 is broken; see `LEVELS`."""


@dataclass(frozen=True, slots=True)
class Level:
    """A verdict and the worst figures that still earn it."""

    word: str
    kl: float
    """Mean KL divergence, nats."""
    same_top: float
    """Share of positions with the same first token."""
    advice: str


LEVELS = (
    Level("practically the original", 0.01, 0.93, "The difference will not be noticed."),
    Level("very small loss", 0.03, 0.88, "Hardly noticed, even side by side."),
    Level("small loss", 0.10, 0.80, "About what 4 bits a weight usually cost."),
    Level("visible loss", 0.40, 0.65, "Answers differ; more bits would be better."),
    Level("heavy loss", 2.0, 0.30, "Choose more bits if they fit at all."),
    Level("broken", math.inf, 0.0, "The result no longer behaves like the original."),
)
"""From best to worst."""


def verdict(quality: Quality) -> Verdict:
    """The verdict that the worse one of the two figures earns."""
    number = next(
        (
            index
            for index, level in enumerate(LEVELS)
            if quality.kl_mean <= level.kl
            and quality.same_top >= level.same_top
            and math.isfinite(quality.perplexity_after)
        ),
        len(LEVELS) - 1,  # not a number
    )
    level = LEVELS[number]
    detail = f"KL {figure(quality.kl_mean)}, same next word {100 * quality.same_top:.1f} %"
    return Verdict(level.word, f"{detail}. {level.advice}", number)


def figure(value: float) -> str:
    """A small positive number with two digits that mean something: 0.021, 0.0034, 12.3."""
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else "infinite"
    if value == 0:
        return "0"
    if abs(value) < 0.00005:
        return "below 0.0001"
    digits = min(4, max(1, 1 - math.floor(math.log10(abs(value)))))
    return f"{value:.{digits}f}"
