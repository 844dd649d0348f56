"""Rounding with error feedback: columns not yet rounded absorb the error of those that are.

Minimises tr((W - Q) H (W - Q)^T), H the second moment of the inputs, greedily: when column j is
rounded, the best answer of the columns after it is a shift by the error, times row j of U,
where H^-1 = U^T U and U is upper triangular. So each column is corrected exactly once for each
of its predecessors: at once within a lazy block, and in one product behind it.

Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained
Transformers", ICLR 2023, arXiv:2210.17323, algorithm 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.methods.grid import Grid, inverse

if TYPE_CHECKING:
    from torch import Tensor

_BLOCK = 128
"""Columns that are corrected at once."""
_MOST_DAMPING = 1e4
"""Then H is as good as diagonal, and rounding as good as to the nearest."""


@dataclass(frozen=True, slots=True)
class Feedback:
    """The order of columns, and what they pass on; for all matrices with the same inputs."""

    order: Tensor
    """(in,), int64: the column that is rounded first, second, ..."""
    passed: Tensor
    """U in that order, (in, in), float32."""

    @classmethod
    def of(cls, second_moment: Tensor, damping: float, *, act_order: bool) -> Feedback:
        """Factor H.

        One Cholesky factorisation, of H with rows and columns reversed: with R its reversed
        factor, H = R R^T and R is upper triangular, so that U = R^-1.

        Args:
            second_moment: H, (in, in), float32. Not changed.
            damping: What is added to its diagonal, as a fraction of the mean; ten times as much
                as long as H is not positive definite.
            act_order: Whether the columns with the largest inputs are rounded first, while many
                others can still absorb their error.
        """
        import torch

        size = second_moment.diagonal()
        order = size.argsort(descending=True, stable=True)
        if not act_order:
            order = torch.arange(len(size), device=size.device)
        mean = size.mean().clamp(min=torch.finfo(torch.float32).tiny)
        sorted_moment = second_moment[order[:, None], order]
        diagonal = sorted_moment.diagonal()
        diagonal[diagonal == 0] = mean  # nothing passes through: rounded to the nearest
        bare = diagonal.clone()
        while True:
            diagonal.copy_(bare + damping * mean)
            factor, failed = torch.linalg.cholesky_ex(sorted_moment.flip(0, 1))
            if not bool(failed) and bool(factor.isfinite().all()):
                break
            if damping > _MOST_DAMPING:
                factor = diagonal.flip(0).sqrt().diag()
                break
            damping = max(10 * damping, 1e-4)
        del sorted_moment
        one = torch.eye(len(size), dtype=factor.dtype, device=factor.device)
        return cls(order, torch.linalg.solve_triangular(factor.flip(0, 1), one, upper=True))

    def round(self, weight: Tensor, grid: Grid) -> Tensor:
        """The codes of `weight`, (rows, in), whole numbers as float32.

        Time O(rows * in^2); memory a few copies of the weight.
        """
        import torch

        step, offset = (part.mT[self.order] for part in grid.spread())  # (in, rows)
        shrink = inverse(step)
        left = weight.mT[self.order]  # rows of memory are columns of the weight
        codes = torch.empty_like(left)
        for first in range(0, len(left), _BLOCK):
            last = min(first + _BLOCK, len(left))
            errors = torch.empty_like(left[first:last])
            for j in range(first, last):
                codes[j] = ((left[j] - offset[j]) * shrink[j]).round()
                codes[j].clamp_(grid.lowest, grid.highest)
                value = codes[j] * step[j] + offset[j]
                errors[j - first] = (left[j] - value) / self.passed[j, j]
                left[j + 1 : last].addr_(self.passed[j, j + 1 : last], errors[j - first], alpha=-1)
            left[last:].addmm_(self.passed[first:last, last:].mT, errors, alpha=-1)
        found = torch.empty_like(codes)
        found[self.order] = codes
        return found.mT
