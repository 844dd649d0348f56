"""Whether a model runs on a computer: the answer and what it is made of. All sizes in bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
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
