"""Grids with a scale and a minimum; explained in `app.encodings.kernels.affine_search`.

Shapes: n super-blocks of k sub-blocks. What there is one of for each sub-block is (n, k, 1), for
each super-block (n, 1, 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.encodings.kernels.numbers import MARGIN, SINGULAR, TINY, AffineGrid
from app.encodings.vectorised.halves import step_halves

if TYPE_CHECKING:
    from torch import Tensor

    Sums = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class Fit:
    """What grids are fitted to: values measured from `low`, and their weighted sums."""

    grid: AffineGrid
    value: Tensor
    importance: Tensor
    low: Tensor
    w: Tensor
    v: Tensor
    vv: Tensor

    @classmethod
    def of(cls, weight: Tensor, importance: Tensor | None, grid: AffineGrid) -> Fit:
        """Prepare (n, k, size) weights and the importances of their columns."""
        import torch

        low = weight.amin(-1, keepdim=True)
        if grid.top_scale > 0:
            low = low.clamp(max=0)
        rms = weight.square().mean(-1, keepdim=True).sqrt()
        tilted = 1 + float(grid.tilt) * weight.abs() * torch.where(rms > TINY, 1 / rms, 0.0)
        if importance is not None:
            tilted = tilted * importance
        value = weight - low
        wv = tilted * value
        return cls(grid, value, tilted, low, _sum(tilted), _sum(wv), _sum(wv * value))

    def tally(self, shift: Tensor, inverse: Tensor) -> Sums:
        """Weighted sums of q, q q and q v over the codes q of one grid."""
        q = ((self.value - shift) * inverse).round().clamp(0, float(self.grid.top))
        wq = self.importance * q
        return _sum(wq), _sum(wq * q), _sum(wq * self.value)

    def error(self, scale: Tensor, offset: Tensor, sums: Sums) -> Tensor:
        """Weighted squared error of scale * q + offset, in closed form."""
        q, qq, qv = sums
        by_scale = scale * (scale * qq + 2 * (offset * q - qv))
        return by_scale + offset * (offset * self.w - 2 * self.v) + self.vv

    def search_spans(self) -> tuple[Tensor, Tensor]:
        """The real-valued scale and lowest value of each sub-block."""
        import torch

        top = float(self.grid.top)
        span = self.value.amax(-1, keepdim=True)
        scale, offset = span / top, torch.zeros_like(span)
        best = torch.full_like(span, torch.inf)
        for stretch in self.grid.stretches.tolist():
            width = span - offset
            sums = self.tally(offset, torch.where(width > TINY, (top + stretch) / width, 0.0))
            q, qq, qv = sums
            det = self.w * qq - q * q
            new_offset = (qq * self.v - q * qv) / det
            if self.grid.top_scale > 0:
                new_offset = torch.minimum(new_offset, -self.low)
            new_scale = (qv - new_offset * q) / qq
            error = self.error(new_scale, new_offset, sums)
            better = (det > SINGULAR * self.w * qq) & (error < best - MARGIN * self.vv)
            best = torch.where(better, error, best)
            scale = torch.where(better, new_scale, scale)
            offset = torch.where(better, new_offset, offset)
        return scale, offset + self.low


@dataclass(frozen=True, slots=True)
class Codes:
    """Scales and minima as they are stored."""

    halves: Tensor
    """(n, 2) float16: d and dmin."""
    scale: Tensor
    minimum: Tensor

    @property
    def steps(self) -> tuple[Tensor, Tensor]:
        """The values of d and dmin."""
        import torch

        d, dmin = torch.split(self.halves.float()[:, :, None], 1, 1)
        return d, dmin

    def round(self, weight: Tensor, top: float) -> Tensor:
        """The codes of (n, k, size) weights, uint8."""
        import torch

        d, dmin = self.steps
        q = (weight + dmin * self.minimum) * inverse_of(d * self.scale)
        return q.round().clamp(0, top).to(torch.uint8)


def search(weight: Tensor, importance: Tensor | None, grid: AffineGrid) -> Codes:
    """The stored scales and minima for (n, 256) weights."""
    import torch

    grouped = weight.view(len(weight), -1, grid.size)
    fit = Fit.of(grouped, None if importance is None else importance.view_as(grouped), grid)
    scale, lowest = fit.search_spans()
    minimum = (-lowest).clamp(min=0)
    top = float(grid.top_scale)
    halves = step_halves(torch.cat([scale.amax(1), minimum.amax(1)], -1), int(top))
    d, dmin = Codes(halves, scale, minimum).steps
    codes = Codes(
        halves,
        (scale * inverse_of(d)).round().clamp(0, top),
        (minimum * inverse_of(dmin)).round().clamp(0, top),
    )
    codes, sums = _search_codes(fit, codes)
    for _ in range(grid.rounds):
        codes, sums = _search_codes(fit, _refit(fit, codes, sums))
    return codes


def _search_codes(fit: Fit, codes: Codes) -> tuple[Codes, Sums]:
    """Scales around the given ones with the best minima, given d and dmin; and their sums."""
    import torch

    (d, dmin), top = codes.steps, float(fit.grid.top_scale)
    per_dmin = inverse_of(dmin)
    shift = -(dmin * codes.minimum + fit.low)
    best = torch.full_like(fit.w, torch.inf)
    chosen = [codes.scale, codes.minimum, best, best, best]
    for change in fit.grid.changes.tolist():
        code = (codes.scale + change).clamp(0, top)
        scale = d * code
        sums = fit.tally(shift, inverse_of(scale))
        wanted = (fit.v - scale * sums[0]) / fit.w + fit.low
        minimum = (-wanted * per_dmin).round().clamp(0, top)
        error = fit.error(scale, -(dmin * minimum + fit.low), sums)
        better = error < best - MARGIN * fit.vv
        best = torch.where(better, error, best)
        pairs = zip((code, minimum, *sums), chosen, strict=True)
        chosen = [torch.where(better, new, old) for new, old in pairs]
    code, minimum, q, qq, qv = chosen
    return Codes(codes.halves, code, minimum), (q, qq, qv)


def _refit(fit: Fit, codes: Codes, sums: Sums) -> Codes:
    """The d and dmin that fit all codes of a super-block best, by least squares."""
    import torch

    q, qq, qv = sums
    c, m = codes.scale, codes.minimum
    cc, cm, mm = (some.sum(1) for some in (c * c * qq, c * m * q, m * m * fit.w))
    cx = (c * (qv + fit.low * q)).sum(1)
    mx = (m * (fit.v + fit.low * fit.w)).sum(1)
    det = cc * mm - cm * cm
    fitted = torch.cat([cx * mm - cm * mx, cm * cx - cc * mx], -1) / det
    solvable = det > SINGULAR * cc * mm
    halves = torch.where(solvable, fitted.clamp(min=0), codes.halves.float()).half()
    return Codes(halves, c, m)


def _sum(values: Tensor) -> Tensor:
    return values.sum(-1, keepdim=True)


def inverse_of(values: Tensor) -> Tensor:
    """1 / value, or 0 for values that are not positive."""
    import torch

    return torch.where(values > 0, 1 / values, 0.0)
