"""Q4_K and Q5_K; the search is explained in `app.encodings.kernels.k_affine`.

Shapes: n super-blocks of 8 sub-blocks of 32 weights. What there is one of for each sub-block is
(n, 8, 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.encodings.kernels.numbers import (
    AFFINE_SHARE,
    CHANGES,
    MARGIN,
    SINGULAR,
    TENTHS_AFFINE,
    TINY,
)
from app.encodings.vectorised.halves import from_bytes, step_halves, to_bytes

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Fit:
    """What grids are fitted to: values measured from `low`, and their weighted sums."""

    value: Tensor
    importance: Tensor
    low: Tensor
    w: Tensor
    v: Tensor
    vv: Tensor

    @classmethod
    def of(cls, weight: Tensor) -> Fit:
        """Prepare (n, 8, 32) weights."""
        import torch

        low = weight.amin(-1, keepdim=True).clamp(max=0)
        rms = weight.square().mean(-1, keepdim=True).sqrt()
        importance = AFFINE_SHARE + weight.abs() * torch.where(rms > TINY, 1 / rms, 0.0)
        value = weight - low
        wv = importance * value
        sums = (_sum(importance), _sum(wv), _sum(wv * value))
        return cls(value, importance, low, *sums)

    def tally(self, shift: Tensor, inverse: Tensor, top: int) -> tuple[Tensor, Tensor, Tensor]:
        """Weighted sums of q, q q and q v over the codes q of one grid."""
        q = ((self.value - shift) * inverse).round().clamp(0, top)
        wq = self.importance * q
        return _sum(wq), _sum(wq * q), _sum(wq * self.value)

    def error(self, scale: Tensor, offset: Tensor, sums: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Weighted squared error of scale * q + offset, in closed form."""
        q, qq, qv = sums
        by_scale = scale * (scale * qq + 2 * (offset * q - qv))
        return by_scale + offset * (offset * self.w - 2 * self.v) + self.vv


def encode(weight: Tensor, bits: int) -> Tensor:
    """(n, 256) to (n, 144) or (n, 176)."""
    import torch

    grouped = weight.view(-1, 8, 32)
    top = 2**bits - 1
    fit = Fit.of(grouped)
    scale, offset = _search_spans(fit, top)
    minimum = (-(offset + fit.low)).clamp(min=0)
    halves = step_halves(torch.cat([scale.amax(1), minimum.amax(1)], -1), 63)
    d, dmin = torch.split(halves.float()[:, None, :], 1, -1)  # (n, 1, 1) each
    codes, minima = _search_codes(fit, top, (d, dmin), (scale, offset))
    grid = d * codes
    q = ((grouped + dmin * minima) * _inverse(grid)).round().clamp(0, top).to(torch.uint8)
    scales = _pack_scales(codes.squeeze(-1).to(torch.uint8), minima.squeeze(-1).to(torch.uint8))
    nibbles = (q[:, 0::2] & 15) | ((q[:, 1::2] & 15) << 4)
    parts = [to_bytes(halves), scales, nibbles.flatten(1)]
    if bits == 5:
        places = torch.arange(8, dtype=torch.int32, device=weight.device)[:, None]
        high = ((q >> 4).to(torch.int32) << places).sum(1)
        parts.insert(2, high.to(torch.uint8))
    return torch.cat(parts, -1)


def decode(blocks: Tensor, bits: int) -> Tensor:
    """Inverse of `encode`."""
    import torch

    d, dmin = torch.split(from_bytes(blocks[:, :4])[..., None], 1, 1)  # (n, 1, 1) each
    codes, minima = _unpack_scales(blocks[:, 4:16])
    nibbles = blocks[:, -128:].view(-1, 4, 1, 32)
    q = torch.cat([nibbles & 15, nibbles >> 4], 2).view(-1, 8, 32)
    if bits == 5:
        places = torch.arange(8, dtype=torch.int32, device=blocks.device)[:, None]
        high = (blocks[:, None, 16:48].to(torch.int32) >> places) & 1
        q = q.to(torch.int32) | high << 4
    scale, minimum = d * codes[..., None], dmin * minima[..., None]
    return (scale * q.float() - minimum).flatten(1)


def _search_spans(fit: Fit, top: int) -> tuple[Tensor, Tensor]:
    """The real-valued scale and offset of each sub-block."""
    import torch

    span = fit.value.amax(-1, keepdim=True)
    scale, offset = span / top, torch.zeros_like(span)
    best = torch.full_like(span, torch.inf)
    for tenths in TENTHS_AFFINE:
        width = span - offset
        inverse = torch.where(width > TINY, (top + tenths * 0.1) / width, 0.0)
        sums = fit.tally(offset, inverse, top)
        q, qq, qv = sums
        det = fit.w * qq - q * q
        solvable = det > SINGULAR * fit.w * qq
        new_offset = torch.minimum((qq * fit.v - q * qv) / det, -fit.low)
        new_scale = (qv - new_offset * q) / qq
        error = fit.error(new_scale, new_offset, sums)
        better = solvable & (error < best - MARGIN * fit.vv)
        best = torch.where(better, error, best)
        scale = torch.where(better, new_scale, scale)
        offset = torch.where(better, new_offset, offset)
    return scale, offset


def _search_codes(
    fit: Fit, top: int, steps: tuple[Tensor, Tensor], found: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """The 6-bit scale and minimum of each sub-block, given d and dmin."""
    import torch

    (d, dmin), (scale, offset) = steps, found
    per_dmin = _inverse(dmin)
    code = (scale * _inverse(d)).round().clamp(0, 63)
    minimum = (-(offset + fit.low) * per_dmin).round().clamp(0, 63)
    shift = -(dmin * minimum + fit.low)
    best = torch.full_like(scale, torch.inf)
    best_code, best_minimum = code, minimum
    for change in CHANGES:
        new_code = (code + change).clamp(0, 63)
        new_scale = d * new_code
        sums = fit.tally(shift, _inverse(new_scale), top)
        wanted = (fit.v - new_scale * sums[0]) / fit.w + fit.low
        new_minimum = (-wanted * per_dmin).round().clamp(0, 63)
        error = fit.error(new_scale, -(dmin * new_minimum + fit.low), sums)
        better = error < best - MARGIN * fit.vv
        best = torch.where(better, error, best)
        best_code = torch.where(better, new_code, best_code)
        best_minimum = torch.where(better, new_minimum, best_minimum)
    return best_code, best_minimum


def _pack_scales(codes: Tensor, minima: Tensor) -> Tensor:
    """Two times (n, 8) of 6 bits to (n, 12)."""
    import torch

    low, high = torch.split(codes, 4, -1)
    low_minima, high_minima = torch.split(minima, 4, -1)
    first = low | (high >> 4) << 6
    second = low_minima | (high_minima >> 4) << 6
    third = (high & 15) | (high_minima & 15) << 4
    return torch.cat([first, second, third], -1)


def _unpack_scales(packed: Tensor) -> tuple[Tensor, Tensor]:
    """Inverse of `_pack_scales`."""
    import torch

    first, second, third = torch.split(packed, 4, -1)
    codes = torch.cat([first & 63, (third & 15) | (first >> 6) << 4], -1)
    minima = torch.cat([second & 63, third >> 4 | (second >> 6) << 4], -1)
    return codes, minima


def _sum(values: Tensor) -> Tensor:
    return values.sum(-1, keepdim=True)


def _inverse(values: Tensor) -> Tensor:
    """1 / value, or 0 for values that are not positive."""
    import torch

    return torch.where(values > 0, 1 / values, 0.0)
