"""SmoothQuant: outlier channels of the inputs are moved into the weights, half way or so.

Factors are max|x|^a / max|w|^(1 - a) for each column; the larger a, the more of the
difficulty goes to the weights. a is given, or searched for with samples of the inputs, both
sides rounded: weights by their encoding, inputs to 8 bits a token.

Xiao et al., "SmoothQuant: Accurate and Efficient Post-Training Quantization for Large Language
Models", ICML 2023, arXiv:2211.10438, section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from app.encodings.base import Encoding
from app.methods.activations import round_tokens
from app.methods.base import Smoothing, Statistics
from app.methods.options import option

if TYPE_CHECKING:
    from torch import Tensor

_LEAST = 1e-5
"""Maxima below it count as this much."""


@dataclass(frozen=True, slots=True)
class SmoothQuant(Smoothing):
    """For weights and inputs of 8 bits both."""

    name: ClassVar[str] = "smoothquant"
    needs: ClassVar[frozenset[str]] = frozenset({"absmax"})
    strength: float | None = option(
        None, "How much goes to the weights; automatic: searched for.", least=0, most=1
    )
    tried: tuple[float, ...] = option(
        (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9), "Strengths of a search.", least=0, most=1
    )

    @override
    def search(
        self, weights: Sequence[Tensor], encoding: Encoding, statistics: Statistics
    ) -> Tensor:
        import torch

        assert statistics.absmax is not None
        largest = torch.stack([weight.abs().amax(0) for weight in weights]).amax(0)
        maxima = statistics.absmax.clamp(min=_LEAST), largest.clamp(min=_LEAST)
        if self.strength is not None:
            return _factors(*maxima, self.strength)
        statistics.require(frozenset({"samples"}), self.name)
        candidates = [torch.ones_like(largest)]
        candidates += [_factors(*maxima, strength) for strength in self.tried]
        losses = [self.loss(weights, factors, encoding, statistics) for factors in candidates]
        return candidates[losses.index(min(losses))]

    @override
    def loss(
        self,
        weights: Sequence[Tensor],
        factors: Tensor,
        encoding: Encoding,
        statistics: Statistics,
    ) -> float:
        """The squared error of the outputs of the samples, over all matrices."""
        samples = statistics.samples
        assert samples is not None
        rounded = round_tokens(samples / factors)
        loss = 0.0
        for weight in weights:
            stored = encoding.rounded(weight * factors)
            loss += float((rounded @ stored.mT - samples @ weight.mT).square().sum())
        return loss


def _factors(inputs: Tensor, weights: Tensor, strength: float) -> Tensor:
    return (inputs**strength / weights ** (1 - strength)).clamp(min=_LEAST)
