"""The nearest points of a grid, by a product of matrices.

The weighted error of a point is a sum over coordinates of importance * (target - scale * q)**2.
Without what is the same for all points, that is a product of two rows: (importance * scale**2,
-2 * importance * scale * target) of the group, and (q**2, q) of the point.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from app.encodings.grids import Grid

CELLS = 2**24
"""Errors at a time: 64 MiB."""


@dataclass(frozen=True, slots=True)
class Points:
    """A grid on a device."""

    values: Tensor
    """(points, coordinates)"""
    factors: Tensor
    """(2 coordinates, points): q**2, then q."""

    @classmethod
    def of(cls, grid: Grid, device: torch.device) -> Points:
        """The points of a grid, by number."""
        import torch

        levels = torch.from_numpy(grid.levels()).to(device).long()
        values = torch.tensor(grid.values, device=device)[levels]
        return cls(values, torch.cat([values.square(), values], -1).t().contiguous())

    @property
    def coordinates(self) -> int:
        """Weights a point."""
        return self.values.shape[1]

    def nearest(self, target: Tensor, importance: Tensor, scale: Tensor) -> Tensor:
        """The numbers of the nearest points to (n, coordinates), each with its scale: (n,)."""
        import torch

        by_scale = importance * scale
        rows = torch.cat([by_scale * scale, by_scale * target * -2], -1)
        size = CELLS // len(self.values)
        return torch.cat([(some @ self.factors).argmin(-1) for some in torch.split(rows, size)])
