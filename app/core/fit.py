"""Whether a model runs on a computer: the answer and what it is made of. All sizes in bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any


class FitWord(StrEnum):
    """The five answers, one for what no memory would change, and the honest last."""

    FITS = "fits well"
    TIGHT = "fits tightly"
    PARTLY = "partly on the GPU"
    MEMORY = "memory only"
    NOT = "does not fit"
    ELSEWHERE = "needs other hardware"
    UNKNOWN = "not known"


GLYPHS = {
    FitWord.FITS: "●",
    FitWord.TIGHT: "◐",
    FitWord.PARTLY: "◑",
    FitWord.MEMORY: "○",
    FitWord.NOT: "✕",
    FitWord.ELSEWHERE: "⊘",
    FitWord.UNKNOWN: "?",
}
"""Never colour alone: each word has a sign of its own."""


@dataclass(frozen=True, slots=True)
class FitOptions:
    """How a model is to be run."""

    context: int = 8192
    """Tokens."""
    cache_type: str = "f16"
    """Encoding of keys and values: "f32", "f16", "bf16", "q8_0", "q4_0" ..., as llama.cpp."""
    batch: int = 512
    """Tokens computed at once (llama.cpp's ubatch)."""
    reserve: int = 0
    """Memory that is left to others, beside what is used now."""
    experts_in_memory: bool = False
    """Whether a mixture's experts stay in the computer's memory."""


@dataclass(frozen=True, slots=True)
class Need:
    """One thing that takes memory."""

    name: str
    """"Weights", "Context", "Computing", "Runtime", "Pictures"."""
    nbytes: int


@dataclass(frozen=True, slots=True)
class Fit:
    """The answer for one model, one format, one context, one computer."""

    word: FitWord
    options: FitOptions
    needs: tuple[Need, ...] = ()
    low: int = 0
    """The least it may take in all."""
    high: int = 0
    """The most it may take; the word is decided by this."""
    budget: int = 0
    """What there is for it now, on all devices that are used."""
    budget_after_closing: int = 0
    """What there would be if other programs were closed."""
    word_after_closing: FitWord = FitWord.UNKNOWN
    layers: int = 0
    layers_on_gpu: int = 0
    placement: tuple[tuple[str, int, int], ...] = ()
    """Device name, layers on it, bytes on it."""
    largest_context: int = 0
    """The longest context with the best word that the model can have here; 0 when none fits."""
    tokens_per_second: tuple[float, float] | None = None
    """An estimate of the speed of writing, from and to."""
    reason: str = ""
    """One sentence: why not, or what would make it fit."""

    @property
    def total(self) -> int:
        """Bytes of everything."""
        return sum(need.nbytes for need in self.needs)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for the border between processes."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Fit:
        """Inverse of `to_json`.

        Raises:
            ValueError: The fields are not those of a fit.
        """
        try:
            speed = fields["tokens_per_second"]
            return cls(
                **{
                    **fields,
                    "word": FitWord(fields["word"]),
                    "word_after_closing": FitWord(fields["word_after_closing"]),
                    "options": FitOptions(**fields["options"]),
                    "needs": tuple(Need(**row) for row in fields["needs"]),
                    "placement": tuple((row[0], row[1], row[2]) for row in fields["placement"]),
                    "tokens_per_second": (speed[0], speed[1]) if speed else None,
                }
            )
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError("not a fit") from error


@dataclass(frozen=True, slots=True)
class ConversionCost:
    """What making a result takes, beside its place on the disk."""

    memory: int
    """Bytes at the peak."""
    seconds: tuple[float, float] | None = None
    """From and to; None where nothing was converted here yet."""
    calibration: tuple[float, float] | None = None
    """What computing an importance matrix takes more, from and to; None where nobody knows."""
    fitting: tuple[float, float] | None = None
    """What a method that sees the model at work takes more, with the usual text."""
    fitting_memory: int = 0
    """Bytes that it takes more."""

    def fitted(self, results: int, share: float) -> ConversionCost:
        """The same with such a method for some results, shown `share` of the usual text."""
        if not results or self.fitting is None:
            return self
        usual = self.seconds or (0.0, 0.0)
        more = [results * share * one for one in self.fitting]
        return replace(
            self,
            memory=self.memory + self.fitting_memory,
            seconds=(usual[0] + more[0], usual[1] + more[1]),
        )

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> ConversionCost:
        """Read what `dataclasses.asdict` made of one.

        Raises:
            ValueError: The fields are not those of a cost.
        """
        try:
            spans = {key: fields.get(key) for key in ("seconds", "calibration", "fitting")}
            pairs = {key: (span[0], span[1]) if span else None for key, span in spans.items()}
            more = int(fields.get("fitting_memory", 0))
            return cls(memory=fields["memory"], fitting_memory=more, **pairs)
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError("not a cost") from error


def together(costs: Sequence[ConversionCost]) -> ConversionCost | None:
    """What several results take that are made one from another's reading; None for none.

    The model is read once, which the time does not allow for: it is what they take at the most.
    """
    if not costs:
        return None
    spans = [cost.seconds for cost in costs]
    known = [span for span in spans if span is not None]
    seconds = (sum(span[0] for span in known), sum(span[1] for span in known))
    return ConversionCost(
        max(cost.memory for cost in costs),
        seconds if len(known) == len(spans) else None,
        costs[0].calibration,
        costs[0].fitting,
        max(cost.fitting_memory for cost in costs),
    )
