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

from app.methods.grid import Grids, inverse

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
    def of(cls, second_moment: Tensor, damping: float, span: int) -> Feedback:
        """Factor H.

        One Cholesky factorisation, of H with rows and columns reversed: with R its reversed
        factor, H = R R^T and R is upper triangular, so that U = R^-1.

        Args:
            second_moment: H, (in, in), float32. Not changed.
            damping: What is added to its diagonal, as a fraction of the mean; ten times as much
                as long as H is not positive definite.
            span: Columns that stay together in the order, a divisor of in. The spans with the
                largest inputs are rounded first, while many others can still absorb their
                error, and so are columns within a span.
        """
        import torch

        size = second_moment.diagonal()
        order = _order(size.view(-1, span))
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

    def round(self, weight: Tensor, grids: Grids, span: int) -> Tensor:
        """The codes of `weight`, (rows, in), whole numbers as float32.

        Args:
            weight: Not changed.
            grids: Are found for a span when its turn comes, from its weights as corrected until
                then.
            span: As given to `of`. With all columns in one, grids are those of the weights as
                they are.

        Time O(rows * in^2); memory four copies of the weight.
        """
        import torch

        left = weight.mT[self.order]  # rows of memory are columns of the weight
        codes = torch.empty_like(left)
        found = _Found(grids, self.order, span, left)
        limits = grids.lowest, grids.highest
        group = (self.order // grids.columns).tolist()
        block = _block(span, len(left))
        for first in range(0, len(left), block):
            last = min(first + block, len(left))
            errors = torch.empty_like(left[first:last])
            for j in range(first, last):
                if j % span == 0:
                    found.look(left, j)
                step, offset, shrink = found.of(group[j])
                codes[j] = ((left[j] - offset) * shrink).round_().clamp_(*limits)
                errors[j - first] = (left[j] - codes[j] * step - offset) / self.passed[j, j]
                left[j + 1 : last].addr_(self.passed[j, j + 1 : last], errors[j - first], alpha=-1)
            left[last:].addmm_(self.passed[first:last, last:].mT, errors, alpha=-1)
        unsorted = torch.empty_like(codes)
        unsorted[self.order] = codes
        return unsorted.mT.contiguous()


class _Found:
    """The grids that were found so far, by the number of the group."""

    def __init__(self, grids: Grids, order: Tensor, span: int, left: Tensor) -> None:
        self._grids, self._order, self._span = grids, order, span
        self._step = left.new_empty(len(left) // grids.columns, left.shape[1])
        self._offset, self._shrink = self._step.clone(), self._step.clone()

    def look(self, left: Tensor, place: int) -> None:
        """Find those of the span that begins at `place` in the order of `left`, (in, rows)."""
        columns = self._order[place : place + self._span]
        first = int(columns.min())
        weight = left[place : place + self._span][columns.argsort()].mT.contiguous()
        step, offset = self._grids.find(weight, first)
        start = first // self._grids.columns
        some = slice(start, start + step.shape[1])
        self._step[some], self._offset[some] = step.mT, offset.mT
        self._shrink[some] = inverse(step.mT)

    def of(self, group: int) -> tuple[Tensor, Tensor, Tensor]:
        """Step, offset and 1 / step of each row, (rows,)."""
        return self._step[group], self._offset[group], self._shrink[group]


def _order(sizes: Tensor) -> Tensor:
    """Columns by falling size, (spans, span) to (in,), but whole spans one after the other."""
    import torch

    spans = sizes.mean(-1).argsort(descending=True, stable=True)
    inside = sizes.argsort(dim=-1, descending=True, stable=True)
    columns = torch.arange(sizes.numel(), device=sizes.device).view_as(inside)
    return columns.gather(-1, inside)[spans].flatten()


def _block(span: int, columns: int) -> int:
    """Columns to correct at once: grids are found in the first one, or of columns inside."""
    even = span == columns or _BLOCK % span == 0 or span % _BLOCK == 0
    return _BLOCK if even else span
