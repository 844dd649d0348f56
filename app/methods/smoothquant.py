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
        outputs = _outputs(weights, statistics)
        losses = [_lost(weights, one, encoding, statistics, outputs) for one in candidates]
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
        return _lost(weights, factors, encoding, statistics, _outputs(weights, statistics))


def _outputs(weights: Sequence[Tensor], statistics: Statistics) -> Sequence[Tensor]:
    """Of the samples, (tokens, out) each."""
    assert statistics.samples is not None
    return [statistics.samples @ weight.mT for weight in weights]


def _lost(
    weights: Sequence[Tensor],
    factors: Tensor,
    encoding: Encoding,
    statistics: Statistics,
    outputs: Sequence[Tensor],
) -> float:
    """The squared error of outputs, where weights and inputs are rounded."""
    assert statistics.samples is not None
    inputs = round_tokens(statistics.samples / factors)
    rounded = (encoding.rounded(weight * factors) for weight in weights)
    pairs = zip(outputs, rounded, strict=True)
    return sum(float((inputs @ weight.mT).sub_(wanted).square().sum()) for wanted, weight in pairs)


def _factors(inputs: Tensor, weights: Tensor, strength: float) -> Tensor:
    return (inputs**strength / weights ** (1 - strength)).clamp(min=_LEAST)
