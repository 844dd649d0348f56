"""HQQ: zero-points and scales that suit most weights, and leave the outliers to themselves.

Minimises the p-norm, p < 1, of a group's errors, which large errors of few weights hardly
change. The problem is split in two that have closed forms: which errors are outliers (shrunk
towards 0), and the zero-point and scale that fit everything else; both in turn, with a growing
price on their disagreement. Errors are counted in steps of the grid, so the outcome does not
depend on the size of the weights. Of every group, the best grid on the way is kept.

Badri and Shaji, "Half-Quadratic Quantization of Large Machine Learning Models", 2023,
https://mobiusml.github.io/hqq_blog/ ; Geman and Reynolds, "Constrained Restoration and the
Recovery of Discontinuities", TPAMI 1992.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from app.encodings.affine import Affine
from app.encodings.base import Encoding
from app.methods.base import Method, Statistics
from app.methods.grid import inverse
from app.methods.options import option

if TYPE_CHECKING:
    from torch import Tensor


_LEAST = 1e-8
"""Smaller errors, in steps, count as this much: the power of 0 is infinite."""


@dataclass(frozen=True, slots=True)
class Hqq(Method):
    """Without data, in seconds; good at 3 and 4 bits."""

    name: ClassVar[str] = "hqq"
    norm: float = option(
        0.7, "The p of the norm: the smaller, the less outliers count.", least=0.1, most=1
    )
    rounds: int = option(20, "How often both halves are solved.", least=1, most=1000)
    price: float = option(
        10.0, "Of disagreement between the halves, at first.", least=1e-3, most=1e6
    )
    growth: float = option(1.01, "By which the price is multiplied each round.", least=1, most=10)
    fit_scale: bool = option(True, "Whether scales are fitted, too.")

    @override
    def fits(self, encoding: Encoding) -> bool:
        return isinstance(encoding, Affine) and not encoding.symmetric

    @override
    def choose(
        self, weight: Tensor, encoding: Encoding, statistics: Statistics
    ) -> dict[str, Tensor]:
        import torch

        assert isinstance(encoding, Affine)
        matrix = weight.reshape(-1, weight.shape[-1])
        scale, zero = encoding.grid(matrix)
        top = 2**encoding.bits - 1
        start = _Groups(matrix.view(*scale.shape, -1), scale[..., None], zero[..., None], top)
        found = self._solved(start, encoding)
        codes = found.codes().view_as(matrix).to(torch.uint8)
        parts = encoding.pack(codes, found.scale.squeeze(-1), found.zero.squeeze(-1))
        _, scale, zero = encoding.unpack(parts, tuple(matrix.shape))  # as they are stored
        return encoding.pack(encoding.nearest(matrix, scale, zero), scale, zero)

    def _solved(self, start: _Groups, encoding: Affine) -> _Groups:
        """The best grids on the way."""
        best, least = start, start.loss(self.norm)
        now, price = start, self.price
        for _ in range(self.rounds):
            now = self._next(now, price)
            zero = now.zero
            if encoding.whole_zero:
                zero = zero.round().clamp(encoding.lowest_zero, encoding.highest_zero)
            tried = replace(now, zero=zero)
            loss = tried.loss(self.norm)
            better = loss < least
            least = loss.where(better, least)
            best = replace(
                best,
                scale=tried.scale.where(better, best.scale),
                zero=tried.zero.where(better, best.zero),
            )
            price *= self.growth
        return best

    def _next(self, now: _Groups, price: float) -> _Groups:
        """Both halves solved once."""
        codes, shrink = now.codes(), inverse(now.scale)
        error = now.weight * shrink + now.zero - codes  # in steps
        size = error.abs().clamp(min=_LEAST)
        outlier = error.sign() * (size - size ** (self.norm - 1) / price).clamp(min=0)
        rest = now.weight - outlier * now.scale
        zero = (codes - rest * shrink).mean(-1, keepdim=True)
        if not self.fit_scale:
            return replace(now, zero=zero)
        span = codes - zero
        squares = span.square().sum(-1, keepdim=True)
        fitted = (rest * span).sum(-1, keepdim=True) * inverse(squares)
        return replace(now, zero=zero, scale=fitted.where(fitted * now.scale > 0, now.scale))


@dataclass(frozen=True, slots=True)
class _Groups:
    """Weights and their grids: weight = scale * (code - zero)."""

    weight: Tensor
    """(rows, groups, columns)."""
    scale: Tensor
    """(rows, groups, 1)."""
    zero: Tensor
    """(rows, groups, 1)."""
    top: int
    """The largest code."""

    def codes(self) -> Tensor:
        """The nearest ones."""
        return (self.weight * inverse(self.scale) + self.zero).round().clamp(0, self.top)

    def loss(self, norm: float) -> Tensor:
        """Sum of |error|^norm of each group, (rows, groups, 1)."""
        error = self.weight - self.scale * (self.codes() - self.zero)
        return error.abs().pow(norm).sum(-1, keepdim=True)
