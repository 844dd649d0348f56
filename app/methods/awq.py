"""AWQ: columns with large inputs are scaled up before rounding, so that they lose less.

Factors are a power of the mean |x| of each column, optionally over one of the weights' own
size; the power is searched for, with what a sample of the inputs gives as judge.

Lin et al., "AWQ: Activation-aware Weight Quantization for LLM Compression and Acceleration",
MLSys 2024, arXiv:2306.00978, section 3.2. Clipping, which follows there, is `Clipped`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from typing_extensions import override

from app.encodings.base import Encoding
from app.methods.base import Smoothing, Statistics, some_rows
from app.methods.options import option

if TYPE_CHECKING:
    from torch import Tensor

Family: TypeAlias = Callable[[float], "Tensor"]

_GAIN = 0.95
"""What has to be left of the loss: a smaller gain on these tokens may be none on others."""
_COARSE = 5
"""Powers that are tried at first."""
_LEAST = 1e-4
"""Means below it count as this much, relative to the mean of all columns."""


@dataclass(frozen=True, slots=True)
class Awq(Smoothing):
    """Protects the weights that matter, at 3 and 4 bits."""

    name: ClassVar[str] = "awq"
    needs: ClassVar[frozenset[str]] = frozenset({"mean_abs", "samples"})
    powers: int = option(
        20,
        "Steps between the powers 0 and 1, the best of which is searched for.",
        least=2,
        most=1000,
    )
    of_weights: bool = option(
        True,
        "Whether factors that also look at the size of the weights are tried as well.",
    )

    @override
    def search(
        self, weights: Sequence[Tensor], encoding: Encoding, statistics: Statistics
    ) -> Tensor:
        import torch

        assert statistics.mean_abs is not None
        best = torch.ones_like(statistics.mean_abs)
        least = _GAIN * self.loss(weights, best, encoding, statistics)
        for family in self._families(weights, statistics.mean_abs):

            def tried(number: int, family: Family = family) -> float:
                return self.loss(weights, family(number / self.powers), encoding, statistics)

            number, loss = _lowest(tried, self.powers)
            if loss < least:
                best, least = family(number / self.powers), loss
        return best

    @override
    def loss(
        self,
        weights: Sequence[Tensor],
        factors: Tensor,
        encoding: Encoding,
        statistics: Statistics,
    ) -> float:
        """The squared error of some of the outputs of the samples, over all matrices."""
        samples, importance = statistics.samples, statistics.importance
        assert samples is not None
        scaled = None if importance is None else importance / factors.square()
        loss = 0.0
        for weight in weights:
            some = some_rows(weight)
            error = encoding.rounded(some * factors, scaled) / factors - some
            loss += len(weight) / len(some) * float((samples @ error.mT).square().sum())
        return loss

    def _families(self, weights: Sequence[Tensor], mean_abs: Tensor) -> Iterator[Family]:
        """What makes factors of a power."""
        inputs = _relative(mean_abs)
        yield lambda power: _centred(inputs**power)
        if self.of_weights:
            sizes = _relative(sum(_size(weight) for weight in weights) + 0 * inputs)
            yield lambda power: _centred(inputs**power / sizes ** (1 - power))


def _lowest(function: Callable[[int], float], count: int) -> tuple[int, float]:
    """Where `function` is lowest below `count`, and its value there.

    A few numbers are tried first, then those around the best: it falls and rises about once.
    """
    step = max(1, count // _COARSE)
    known = {number: function(number) for number in range(0, count, step)}
    while step > 1:
        step = (step + 1) // 2
        best = min(known, key=known.__getitem__)
        for number in (best - step, best + step):
            if 0 <= number < count and number not in known:
                known[number] = function(number)
    best = min(known, key=known.__getitem__)
    return best, known[best]


def _size(weight: Tensor) -> Tensor:
    """How large each column is where rows are alike, (in,)."""
    magnitude = weight.abs()
    return (magnitude / magnitude.mean(-1, keepdim=True).clamp(min=1e-30)).mean(0)


def _relative(means: Tensor) -> Tensor:
    """Relative to all columns, and not too small."""
    return (means / means.mean().clamp(min=1e-30)).clamp(min=_LEAST)


def _centred(factors: Tensor) -> Tensor:
    """The same with the largest as far above 1 as the smallest is below."""
    return factors / (factors.amax() * factors.amin()).sqrt()
