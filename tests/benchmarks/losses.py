"""What a format costs a model: the source is run once, and every result is held against it."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from math import exp
from pathlib import Path
from typing import Any

import torch
from tiny_models import write

from app.core.recipe import Recipe
from app.evaluation.text import cut_windows, window_length
from app.evaluation.tokenizer import open_tokenizer
from app.formats import FORMATS
from app.formats.gguf.imatrix import ImportanceMatrix
from app.models import open_model
from app.models.layerwise import Place, run_layers
from app.models.named_weights import NamedWeights
from app.models.skeleton import Skeleton, WeightSource

ON_CPU = Place()


@dataclass(frozen=True, slots=True)
class Loss:
    """One result against its source; natural logarithms."""

    size: int
    """Bytes of the file."""
    bits: float
    """Bits a weight, over all tensors."""
    kl: float
    """Mean KL(source || result)."""
    kl_error: float
    """Standard error of that mean over the positions."""
    kl_p99: float
    """99th percentile of the same."""
    ppl_ratio: float
    """Perplexity of the result over the source's."""
    same_top: float
    """Share of positions where both put the same token first."""

    @classmethod
    def of(cls, scores: Scores, size: int, bits: float) -> Loss:
        """Of a result with so many bytes, and bits a weight."""
        return cls(
            size=size,
            bits=bits,
            kl=float(scores.kl.mean()),
            kl_error=standard_error(scores.kl),
            kl_p99=float(scores.kl.quantile(0.99)),
            ppl_ratio=float(scores.rise.mean().exp()),
            same_top=float(scores.same_top.mean()),
        )


@dataclass(frozen=True, slots=True)
class Scores:
    """Source and result at every scored position, (positions,), float64."""

    rise: torch.Tensor
    """How much less probable the next token has become: log p - log q."""
    kl: torch.Tensor
    """KL(source || result)."""
    same_top: torch.Tensor
    """1 where both put the same token first."""
    loss: torch.Tensor
    """-log p(the next token) of the source."""

    @classmethod
    def of(cls, before: torch.Tensor, after: torch.Tensor, wanted: torch.Tensor) -> Scores:
        """Of logits, (positions, vocabulary)."""
        same_top = (before.argmax(-1) == after.argmax(-1)).double()
        log_p, log_q = before.log_softmax(-1), after.log_softmax(-1)
        kl = torch.nn.functional.kl_div(log_q, log_p, reduction="none", log_target=True).sum(-1)
        p, q = (log.gather(-1, wanted[:, None])[:, 0].double() for log in (log_p, log_q))
        return cls(p - q, kl.double().clamp(min=0), same_top, -p)


class Reference:
    """A model whose last hidden states are known, for results to be compared with.

    Args:
        folder: A model as Hugging Face keeps it.
        tokens: How many to read of the text that is shipped for evaluations.
    """

    def __init__(self, folder: Path, tokens: int) -> None:
        self.checkpoint = open_model(folder)
        self.source = NamedWeights(self.checkpoint)
        self.conversion = FORMATS["gguf"].prepare(self.checkpoint)
        self.windows = cut_windows(
            open_tokenizer(self.checkpoint),
            tokens=tokens,
            context=window_length(self.source.config),
        ).tokens
        self.skeleton = Skeleton(self.source.config, max_layers=len(self.source.names))
        self._states = self._last_states(self.source)
        own = self._against(self.source, self._states)
        self.perplexity = exp(float(own.loss.mean()))

    def loss(
        self, recipe: Recipe, folder: Path, matrix: ImportanceMatrix | None = None
    ) -> tuple[Loss, Scores]:
        """Make a file, read it back and compare; the file is gone afterwards."""
        plan = self.conversion.plan(recipe)
        path = folder / f"{recipe.preset}.gguf"
        write(self.conversion, plan, path, matrix)
        scores = self.scores(path)
        path.unlink()
        return Loss.of(scores, plan.total_bytes, plan.bits_per_weight), scores

    def scores(self, path: Path) -> Scores:
        """Both models at every scored position; the result is a file."""
        return self.scores_of(NamedWeights(FORMATS["gguf"].open(path), self.source.description))

    def scores_of(self, result: WeightSource) -> Scores:
        """Both models at every scored position."""
        return self._against(result, self._last_states(result))

    def _last_states(self, weights: WeightSource) -> torch.Tensor:
        (states,) = ended(run_layers(self.skeleton, [weights], self.windows, ON_CPU))
        return states

    def _against(self, result: WeightSource, states: torch.Tensor) -> Scores:
        """Scores of the second half of each window, as `compare` has them."""
        first = self.windows.shape[1] // 2
        heads = [self.skeleton.head_weights(weights) for weights in (self.source, result)]
        slices = []
        for window, *hidden in zip(self.windows, self._states, states, strict=True):
            before, after = (
                self.skeleton.logits(head, rows[first:-1]).float()
                for head, rows in zip(heads, hidden, strict=True)
            )
            slices.append(Scores.of(before, after, window[first + 1 :]))
        names = Scores.__dataclass_fields__
        return Scores(*(torch.cat([getattr(some, name) for some in slices]) for name in names))


def standard_error(values: torch.Tensor) -> float:
    """Of their mean."""
    return float(values.std() / len(values) ** 0.5)


def ended(steps: Generator[Any, None, Any]) -> Any:
    """What a generator returns when all its steps are done."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
