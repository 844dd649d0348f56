"""Grids with a signed scale; explained in `app.encodings.kernels.signed_search`.

Shapes: n super-blocks of k sub-blocks. What there is one of for each sub-block is (n, k, 1), for
each super-block (n, 1, 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.encodings.kernels.numbers import MARGIN, TINY, SignedGrid
from app.encodings.vectorised.halves import step_halves

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Fit:
    """What grids are fitted to."""

    grid: SignedGrid
    value: Tensor
    importance: Tensor
    vv: Tensor

    @classmethod
    def of(cls, weight: Tensor, importance: Tensor | None, grid: SignedGrid) -> Fit:
        """Prepare (n, k, size) weights and the importances of their columns."""
        import torch

        rms = weight.square().mean(-1, keepdim=True).sqrt()
        size = weight * torch.where(rms > TINY, 1 / rms, 0.0)
        tilted = 1 + float(grid.tilt) * size.square()
        if importance is not None:
            tilted = tilted * importance
        return cls(grid, weight, tilted, _sum(tilted * weight.square()))

    def tally(self, inverse: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted sums of q q and q v over the codes q of one grid."""
        q = round_codes(self.value, inverse, float(self.grid.lowest))
        wq = self.importance * q
        return _sum(wq * q), _sum(wq * self.value)

    def search_places(self) -> Tensor:
        """The real-valued scale of each sub-block."""
        import torch

        extreme = self.value.gather(-1, self.value.abs().argmax(-1, keepdim=True))
        scale = extreme / float(self.grid.lowest)
        best = torch.full_like(scale, torch.inf)
        for place in self.grid.places.tolist():
            qq, qv = self.tally(torch.where(extreme.abs() > TINY, place / extreme, 0.0))
            new_scale = torch.where(qq > 0, qv / qq, 0.0)
            error = self.vv - new_scale * qv
            better = error < best - MARGIN * self.vv
            best = torch.where(better, error, best)
            scale = torch.where(better, new_scale, scale)
        return scale


@dataclass(frozen=True, slots=True)
class Codes:
    """Scales as they are stored."""

    half: Tensor
    """(n, 1) float16: d."""
    scale: Tensor

    def round(self, weight: Tensor, lowest: float) -> Tensor:
        """The codes of (n, k, size) weights, uint8, from 0."""
        import torch

        grid = self.half.float()[..., None] * self.scale
        return (round_codes(weight, inverse_of(grid), lowest) - lowest).to(torch.uint8)


def search(weight: Tensor, importance: Tensor | None, grid: SignedGrid) -> Codes:
    """The stored scales for (n, 256) weights."""
    grouped = weight.view(len(weight), -1, grid.size)
    fit = Fit.of(grouped, None if importance is None else importance.view_as(grouped), grid)
    scale, low = fit.search_places(), float(grid.lowest_scale)
    half = _first_step(scale.squeeze(-1), int(low))
    nearest = (scale * inverse_of(half.float()[..., None])).round().clamp(low, -low - 1)
    codes, sums = _search_codes(fit, Codes(half, nearest))
    for _ in range(grid.rounds):
        codes, sums = _search_codes(fit, _refit(codes, sums))
    return codes


def _first_step(scale: Tensor, lowest: int) -> Tensor:
    """(n, 1) float16: the d for (n, k) scales, so that those of both signs have codes."""
    import torch

    low, high = scale.amin(1, keepdim=True).clamp(max=0), scale.amax(1, keepdim=True).clamp(min=0)
    below = -low >= high
    largest, other = torch.where(below, low, high), torch.where(below, high, low)
    highest = -lowest - 1
    exceeds = other.abs() * -lowest > largest.abs() * highest
    return torch.where(exceeds, step_halves(other, highest), step_halves(largest, lowest))


def _search_codes(fit: Fit, codes: Codes) -> tuple[Codes, tuple[Tensor, Tensor]]:
    """The best scales around the given ones, given d; and their sums."""
    import torch

    low, d = float(fit.grid.lowest_scale), codes.half.float()[..., None]
    best = torch.full_like(fit.vv, torch.inf)
    chosen = [codes.scale, best, best]
    for change in fit.grid.changes.tolist():
        code = (codes.scale + change).clamp(low, -low - 1)
        scale = d * code
        qq, qv = fit.tally(inverse_of(scale))
        error = scale * (scale * qq - 2 * qv) + fit.vv
        better = error < best - MARGIN * fit.vv
        best = torch.where(better, error, best)
        pairs = zip((code, qq, qv), chosen, strict=True)
        chosen = [torch.where(better, new, old) for new, old in pairs]
    code, qq, qv = chosen
    return Codes(codes.half, code), (qq, qv)


def _refit(codes: Codes, sums: tuple[Tensor, Tensor]) -> Codes:
    """The d that fits all codes of a super-block best, by least squares."""
    import torch

    qq, qv = sums
    cc, cx = (codes.scale.square() * qq).sum(1), (codes.scale * qv).sum(1)
    half = torch.where(cc > 0, cx / cc, codes.half.float()).half()
    return Codes(half, codes.scale)


def round_codes(value: Tensor, inverse: Tensor, lowest: float) -> Tensor:
    """The nearest codes, from `lowest` up."""
    return (value * inverse).round().clamp(lowest, -lowest - 1)


def _sum(values: Tensor) -> Tensor:
    return values.sum(-1, keepdim=True)


def inverse_of(values: Tensor) -> Tensor:
    """1 / value, or 0 for 0."""
    import torch

    return torch.where(values != 0, 1 / values, 0.0)
