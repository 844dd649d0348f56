"""Round to nearest on grids that are clipped where this loses less.

A grid that ends before a group's largest weights is finer for all the others. A few clippings
of every group are tried, and the one stays that changes the layer's output least: by the
second moment of the group's inputs where it is known, else by the importance of columns.

Lin et al., "AWQ: Activation-aware Weight Quantization for LLM Compression and Acceleration",
MLSys 2024, arXiv:2306.00978, section 5 ("clipping"): the same search over output errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from app.encodings.affine import Affine
from app.encodings.base import Encoding
from app.methods.base import Method, Statistics
from app.methods.options import option

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Clipped(Method):
    """Better than the nearest at 4 bits and below; with data or without."""

    name: ClassVar[str] = "clipped"
    least: float = option(
        0.5, "The smallest span that is tried, as a share of the whole one.", least=0.05, most=1
    )
    steps: int = option(
        10,
        "Spans that are tried besides the one that the encoding itself would choose.",
        least=1,
        most=1000,
    )

    @override
    def fits(self, encoding: Encoding) -> bool:
        return isinstance(encoding, Affine)

    @override
    def choose(
        self, weight: Tensor, encoding: Encoding, statistics: Statistics
    ) -> dict[str, Tensor]:
        import torch

        assert isinstance(encoding, Affine)
        matrix = weight.reshape(-1, weight.shape[-1])
        cost = _Cost.of(statistics, encoding.columns_a_group(tuple(matrix.shape)))

        def errors(rows: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
            some, step, middle = matrix[rows], scale[rows], zero[rows]
            codes = encoding.nearest(some, step, middle)
            return cost.of_groups(encoding.values(codes, step, middle) - some)

        scale, zero = encoding.grid(matrix, statistics.importance)
        rows = torch.arange(len(matrix), device=matrix.device)
        least = errors(rows, scale, zero)
        for number in range(1, self.steps + 1):
            share = 1 - (1 - self.least) * number / self.steps
            tried = encoding.grid(matrix, clips=(share,))
            loss = errors(rows, *tried)
            better = loss < least[rows]
            for known, new in ((scale, tried[0][rows]), (zero, tried[1][rows]), (least, loss)):
                known[rows] = new.where(better, known[rows])
            rows = rows[better.any(-1)]  # the others have passed their best
            if not len(rows):
                break
        return encoding.pack(encoding.nearest(matrix, scale, zero), scale, zero)


@dataclass(frozen=True, slots=True)
class _Cost:
    """What errors count."""

    moments: Tensor | None
    """Of the inputs of each group, (groups, columns, columns)."""
    importance: Tensor | None
    """(groups, columns)."""
    columns: int

    @classmethod
    def of(cls, statistics: Statistics, columns: int) -> _Cost:
        moments = None
        if statistics.second_moment is not None:
            whole = statistics.second_moment
            squares = whole.view(len(whole) // columns, columns, -1, columns)
            moments = squares.diagonal(dim1=0, dim2=2).permute(2, 0, 1)
        elif statistics.samples is not None:
            inputs = statistics.samples.view(len(statistics.samples), -1, columns).transpose(0, 1)
            moments = inputs.mT @ inputs / len(statistics.samples)
        importance = statistics.importance
        return cls(moments, None if importance is None else importance.view(-1, columns), columns)

    def of_groups(self, errors: Tensor) -> Tensor:
        """Of each group of (rows, in), (rows, groups)."""
        groups = errors.view(len(errors), -1, self.columns)
        if self.moments is not None:
            each = groups.transpose(0, 1)  # (groups, rows, columns)
            return ((each @ self.moments) * each).sum(-1).mT
        squares = groups.square()
        return (squares if self.importance is None else squares * self.importance).sum(-1)
