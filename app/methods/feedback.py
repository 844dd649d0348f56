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
_TOGETHER = 32
"""Rows that the kernel takes at once (its `ROWS`, which costs an import of numba to ask)."""
_MOST_DAMPING = 1e4
"""Then H is as good as diagonal, and rounding as good as to the nearest."""


@dataclass(frozen=True, slots=True)
class Feedback:
    """The order of columns, and what they pass on; for all matrices with the same inputs."""

    order: Tensor
    """(in,), int64: the column that is rounded first, second, ..."""
    backwards: Tensor
    """U with the order of its rows and of its columns reversed, (in, in), float32."""

    @classmethod
    def of(cls, second_moment: Tensor, damping: float, span: int) -> Feedback:
        """Factor H.

        One Cholesky factorisation, of H with rows and columns reversed: with L its lower factor,
        H reversed = L L^T and U reversed = L^-1. A large H takes gigabytes; two more matrices of
        its size are held, each overwritten by the next step.

        Args:
            second_moment: H, (in, in), float32. Not changed.
            damping: What is added to its diagonal, as a fraction of the mean; ten times as much
                as long as H is not positive definite.
            span: Columns that stay together in the order, a divisor of in. The spans with the
                largest inputs are rounded first, while many others can still absorb their
                error, and so are columns within a span.
        """
        import torch

        order = _order(second_moment.diagonal().view(-1, span))
        factor = _factor(second_moment, order.flip(0), damping)
        inverse = torch.eye(len(order), dtype=factor.dtype, device=factor.device).mT
        torch.linalg.solve_triangular(factor, inverse, upper=False, out=inverse)
        return cls(order, inverse)

    def passed(self, first: int, last: int) -> Tensor:
        """Rows of U, (last - first, in)."""
        size = len(self.backwards)
        return self.backwards[size - last : size - first].flip(0, 1)

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

        left = _padded(weight.mT[self.order])  # rows of memory are columns of the weight
        codes = torch.empty_like(left)
        found = _Found(grids, self.order, span, left, len(weight))
        block = _BLOCK if span == len(left) or span % _BLOCK == 0 else span
        for first in range(0, len(left), block):
            if first % span == 0:
                found.look(left, first)
            columns = slice(first, min(first + block, len(left)))
            passed = self.passed(columns.start, columns.stop)
            among = passed[:, columns].contiguous()
            rounded = _rounded_here if left.device.type == "cpu" else _rounded_there
            codes[columns], errors = rounded(left[columns], among, found.of(columns))
            left[columns.stop :].addmm_(passed[:, columns.stop :].mT, errors, alpha=-1)
        unsorted = torch.empty_like(codes)
        unsorted[self.order] = codes
        return unsorted.mT[: len(weight)].contiguous()


@dataclass(frozen=True, slots=True)
class _Scales:
    """Grids, and which of them each of some columns has."""

    grids: Tensor
    """Steps, offsets and 1 / steps, (3, grids, rows)."""
    places: Tensor
    """(columns,), int64."""
    limits: tuple[float, float]
    """The lowest and the highest code."""


def _rounded_there(left: Tensor, passed: Tensor, scales: _Scales) -> tuple[Tensor, Tensor]:
    """Round columns in turn, each corrected by the errors of those before it; on any device.

    Args:
        left: (columns, rows); is used up.
        passed: What a column passes on, (columns, columns), upper triangular.
        scales: For these columns.

    Returns:
        Codes and errors, (columns, rows) each.
    """
    import torch

    codes, errors = torch.empty_like(left), torch.empty_like(left)
    step, offset, inverse = scales.grids
    for j, place in enumerate(scales.places.tolist()):
        code = ((left[j] - offset[place]) * inverse[place]).round_().clamp_(*scales.limits)
        codes[j] = code
        errors[j] = (left[j] - code * step[place] - offset[place]) / passed[j, j]
        left[j + 1 :].addr_(passed[j, j + 1 :], errors[j], alpha=-1)
    return codes, errors


def _rounded_here(left: Tensor, passed: Tensor, scales: _Scales) -> tuple[Tensor, Tensor]:
    """The same on the processor, some twenty times faster; rows are a multiple of `_TOGETHER`."""
    from app.methods.kernels.feedback import round_columns

    out = left.new_empty(2, *left.shape)
    places = scales.places.numpy()
    flat, grids, into = (tensor.view(-1).numpy() for tensor in (left, scales.grids, out))
    round_columns(flat, passed.numpy(), grids, places, scales.limits, into)
    return out[0], out[1]


class _Found:
    """The grids that were found so far, by the number of the group."""

    def __init__(self, grids: Grids, order: Tensor, span: int, left: Tensor, rows: int) -> None:
        self._grids, self._order, self._span, self._rows = grids, order, span, rows
        self._groups = order // grids.columns
        self._scales = left.new_zeros(3, len(left) // grids.columns, left.shape[1])

    def look(self, left: Tensor, place: int) -> None:
        """Find those of the span that begins at `place` in the order of `left`, (in, rows)."""
        columns = self._order[place : place + self._span]
        first = int(columns.min())
        weight = left[place : place + self._span, : self._rows][columns.argsort()].mT.contiguous()
        step, offset = self._grids.find(weight, first)
        start = first // self._grids.columns
        some = self._scales[:, start : start + step.shape[1], : self._rows]
        for scales, values in zip(some, (step, offset, inverse(step)), strict=True):
            scales.copy_(values.mT)

    def of(self, columns: slice) -> _Scales:
        """What those columns, in the order of rounding, are rounded with."""
        limits = float(self._grids.lowest), float(self._grids.highest)
        return _Scales(self._scales, self._groups[columns], limits)


def _factor(second_moment: Tensor, order: Tensor, damping: float) -> Tensor:
    """L, lower triangular: L L^T is H with rows and columns in `order`, and a larger diagonal."""
    import torch

    size = second_moment.diagonal()[order]
    mean = size.mean().clamp(min=torch.finfo(torch.float32).tiny)
    size = torch.where(size == 0, mean, size)  # nothing passes through: rounded to the nearest
    failed = torch.empty((), dtype=torch.int32, device=size.device)
    while damping <= _MOST_DAMPING:
        # Columns in a row, as LAPACK wants them: it overwrites what it is given. Both orders at
        # once would take a card four matrices more, for the places.
        factor = second_moment[order][:, order].mT
        factor.diagonal().copy_(size + damping * mean)
        torch.linalg.cholesky_ex(factor, out=(factor, failed))
        if not bool(failed) and bool(factor.diagonal().isfinite().all()):  # it sums the squares
            return factor
        del factor  # makes room first
        damping = max(10 * damping, 1e-4)
    return (size + damping * mean).sqrt().diag()


def _order(sizes: Tensor) -> Tensor:
    """Columns by falling size, (spans, span) to (in,), but whole spans one after the other."""
    import torch

    spans = sizes.mean(-1).argsort(descending=True, stable=True)
    inside = sizes.argsort(dim=-1, descending=True, stable=True)
    columns = torch.arange(sizes.numel(), device=sizes.device).view_as(inside)
    return columns.gather(-1, inside)[spans].flatten()


def _padded(columns: Tensor) -> Tensor:
    """(in, rows) with rows of zeros behind it, for kernels that take several at once."""
    import torch

    return torch.nn.functional.pad(columns, (0, -columns.shape[1] % _TOGETHER))
