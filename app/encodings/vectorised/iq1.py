"""IQ1_S and IQ1_M; the search is explained in `app.encodings.kernels.iq1_search`.

Shapes: n super-blocks of s sub-blocks of p spans of g groups of 8 weights; (8, 1, 4) for IQ1_S and
(16, 2, 1) for IQ1_M. What there is one of for each sub-block is (n, s, 1, 1, 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.encodings.kernels.iq1_numbers import BETTER, CHANGES, REFITS, SCALES, TILT
from app.encodings.kernels.numbers import TINY
from app.encodings.vectorised.halves import from_bytes, step_halves, to_bytes

if TYPE_CHECKING:
    from torch import Tensor, device

DELTA = 0.125
DIMS = (2, 3, 4)
"""Those within a sub-block."""


@dataclass(frozen=True, slots=True)
class Lists:
    """The tables of `app.encodings.kernels.iq1_cells` on a device."""

    flips: Tensor
    """The sets of flips of every cell, (65536, 27); the last one again where there are fewer."""
    points: Tensor
    """(65536,)"""

    @classmethod
    def on(cls, device: device) -> Lists:
        """Spread the lists out to the same length."""
        import numpy as np
        import torch

        from app.encodings.kernels.iq1_cells import MOST_SETS, cells

        sets, flips, points = cells()
        first, count = (sets >> 5).astype(np.int64), (sets & 31).astype(np.int64)
        place = np.minimum(np.arange(MOST_SETS), count[:, None] - 1).clip(min=0)
        spread = np.where(count[:, None] > 0, flips[first[:, None] + place], 0)
        return cls(
            torch.from_numpy(spread.astype(np.uint8)).to(device),
            torch.from_numpy(points.astype(np.int32)).to(device),
        )


@dataclass(frozen=True, slots=True)
class Source:
    """What is encoded."""

    value: Tensor
    """Weights, at most 1 in every sub-block."""
    importance: Tensor
    largest: Tensor
    """What values are to be multiplied by."""

    @classmethod
    def of(cls, weight: Tensor, importance: Tensor | None) -> Source:
        """Prepare (n, s, p, g, 8) weights."""
        import torch

        largest = weight.abs().amax(DIMS, keepdim=True)
        value = weight * torch.where(largest > TINY, 1 / largest, 0.0)
        rms = value.square().mean(DIMS, keepdim=True).sqrt()
        tilted = 1 + value.abs() * torch.where(rms > 0, TILT / rms, 0.0)
        return cls(value, tilted if importance is None else importance * tilted, largest)


def encode(weight: Tensor, importance: Tensor | None, sub: int) -> Tensor:
    """(n, 256) to (n, 50) with a `sub` of 32, or to (n, 56) with one of 16."""
    shape = (len(weight), 8, 1, 4, 8) if sub == 32 else (len(weight), 16, 2, 1, 8)
    source = Source.of(weight.view(shape), None if importance is None else importance.view(shape))
    scale = _search_scale(source) * source.largest
    half = step_halves(scale.amax(1).view(-1, 1), 15)
    step = half.float().view(-1, 1, 1, 1, 1)
    lists = Lists.on(weight.device)
    code, cells, negative = _search_codes(source, lists, step, _code(scale, step))
    half = _refit(source, (code, cells, negative), half)
    points = lists.points[cells].view(len(weight), 32)
    pack = _pack_s if sub == 32 else _pack_m
    return pack(half, points, code.view(len(weight), -1).int(), negative.flatten(1).int())


def _code(scale: Tensor, step: Tensor) -> Tensor:
    """The nearest stored scale."""
    import torch

    return torch.where(step > 0, 0.5 * (scale / step - 1), 0.0).round().clamp(0, 7)


def _search_scale(source: Source) -> Tensor:
    """The real-valued scale of each sub-block, off the grid, in units of its largest weight."""
    import torch

    value, weighed = source.value, source.importance * source.value
    rms = value.square().mean(DIMS, keepdim=True).sqrt()
    best, scale = torch.zeros_like(rms), torch.zeros_like(rms)
    for trial in range(len(SCALES) + REFITS):
        inverse = 1 / (SCALES[trial] * rms if trial < len(SCALES) else scale)
        qv = qq = least = torch.full_like(value[..., :1, :1], torch.inf)
        for delta in (DELTA, -DELTA):
            q = (value * inverse - delta).round().clamp(-1, 1) + delta
            new_qv = (q * weighed).sum((3, 4), keepdim=True)
            new_qq = (source.importance * q * q).sum((3, 4), keepdim=True)
            error = new_qq - 2 * inverse * new_qv
            better = error < least
            qv, qq = torch.where(better, new_qv, qv), torch.where(better, new_qq, qq)
            least = torch.where(better, error, least)
        qv, qq = qv.sum(2, keepdim=True), qq.sum(2, keepdim=True)
        score = qv * qv / qq
        better = (qv > 0) & (score > best * BETTER)
        best, scale = torch.where(better, score, best), torch.where(better, qv / qq, scale)
    return scale


def _search_codes(
    source: Source, lists: Lists, step: Tensor, near: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Stored scales (n, s, 1, 1, 1), cells (n, s, p, g) and whether delta is negative (n, s, p)."""
    import torch

    best = torch.full_like(near, torch.inf)
    code, cells = near, source.value[..., 0].long()
    negative = cells[..., 0] > 0
    for change in CHANGES:
        new_code = (near + change).clamp(0, 7)
        factor = 2 * new_code + 1
        inverse = torch.where(step > 0, source.largest / (step * factor), 0.0)
        up, up_error = _move(source, lists, inverse, DELTA)
        down, down_error = _move(source, lists, inverse, -DELTA)
        lower = down_error < up_error  # (n, s, p)
        error = torch.where(lower, down_error, up_error).sum(2).view(near.shape) * factor * factor
        better = error < best
        best, code = torch.where(better, error, best), torch.where(better, new_code, code)
        span = better[..., 0, 0]
        cells = torch.where(span[..., None], torch.where(lower[..., None], down, up), cells)
        negative = torch.where(span, lower, negative)
    return code, cells, negative


def _move(source: Source, lists: Lists, inverse: Tensor, delta: float) -> tuple[Tensor, Tensor]:
    """Cells of points (n, s, p, g), and the errors of spans (n, s, p) in units of the scale."""
    import torch

    t = source.value * inverse - delta
    size = t.abs()
    places = 2 ** torch.arange(8, dtype=torch.int32, device=t.device)
    bits = (size > 0.5) * places + (t < 0) * (places * 256)
    cells = bits.sum(-1).long()
    rest = torch.minimum(size, (size - 1).abs())
    error = (source.importance * rest * rest).sum(-1)
    costs = source.importance * (2 * size - 1).abs()
    low, high = _sums(costs[..., :4]), _sums(costs[..., 4:])
    least, best = torch.full_like(error, torch.inf), torch.zeros_like(cells)
    for number in range(lists.flips.shape[1]):
        flips = lists.flips[:, number][cells].long()[..., None]
        cost = (low.gather(-1, flips & 15) + high.gather(-1, flips >> 4)).squeeze(-1)
        better = cost < least
        least = torch.where(better, cost, least)
        best = torch.where(better, flips.squeeze(-1), best)
    return cells ^ best, (error + least).sum(-1)


def _sums(costs: Tensor) -> Tensor:
    """The sums of all sets of four costs: (..., 4) to (..., 16)."""
    import torch

    sums = torch.zeros_like(costs[..., :1])
    for i in range(4):
        sums = torch.cat([sums, sums + costs[..., i : i + 1]], -1)
    return sums


def _refit(source: Source, found: tuple[Tensor, Tensor, Tensor], half: Tensor) -> Tensor:
    """The best d for what was found, as float16 (n, 1)."""
    import torch

    code, cells, negative = found
    places = torch.arange(8, device=cells.device)
    large, sign = cells[..., None] >> places & 1, cells[..., None] >> (places + 8) & 1
    delta = DELTA - 2 * DELTA * negative.float()
    q = (2 * code + 1) * ((large * (1 - 2 * sign)).float() + delta[..., None, None])
    wq = source.importance * q
    qv = (source.largest * (wq * source.value).sum(DIMS, keepdim=True)).flatten(1).sum(1)[:, None]
    qq = (wq * q).flatten(1).sum(1)[:, None]
    old, fitted = half.float(), (qv / qq).clamp(min=0).half()
    new = fitted.float()
    old_error, new_error = old * (old * qq - 2 * qv), new * (new * qq - 2 * qv)
    better = (new_error < old_error) & (old_error < torch.inf)
    return torch.where(better, fitted, half)


def _pack_s(half: Tensor, points: Tensor, codes: Tensor, negative: Tensor) -> Tensor:
    """d, (n, 32) points, (n, 8) codes and signs of delta."""
    import torch

    places = 3 * torch.arange(4, dtype=torch.int32, device=points.device)
    high = ((points >> 8).view(-1, 8, 4) << places).sum(-1) | codes << 12 | negative << 15
    low = (points & 255).to(torch.uint8)
    return torch.cat([to_bytes(half), low, _two_bytes(high)], -1)


def _pack_m(half: Tensor, points: Tensor, codes: Tensor, negative: Tensor) -> Tensor:
    """d, (n, 32) points, (n, 16) codes and (n, 32) signs of delta."""
    import torch

    nibbles = (points >> 8 | negative << 3).view(-1, 16, 2)
    high = nibbles[..., 0] | nibbles[..., 1] << 4
    places = torch.arange(4, dtype=torch.int32, device=points.device)
    quarters = half.view(torch.int16).int() >> 4 * places & 15
    scales = (codes.view(-1, 4, 4) << 3 * places).sum(-1) | quarters << 12
    low = (points & 255).to(torch.uint8)
    return torch.cat([low, high.to(torch.uint8), _two_bytes(scales)], -1)


def _two_bytes(numbers: Tensor) -> Tensor:
    """(n, k) to (n, 2 k), the low byte first."""
    import torch

    return torch.stack([numbers & 255, numbers >> 8 & 255], -1).to(torch.uint8).flatten(1)


def _numbers(source: Tensor) -> Tensor:
    """Inverse of `_two_bytes`."""
    import torch

    return source[:, 0::2].to(torch.int32) | source[:, 1::2].to(torch.int32) << 8


def decode_s(blocks: Tensor) -> Tensor:
    """(n, 50) to (n, 256)."""
    import torch

    places = 3 * torch.arange(4, dtype=torch.int32, device=blocks.device)
    high = _numbers(blocks[:, 34:])  # (n, 8)
    points = blocks[:, 2:34].int().view(-1, 8, 4) | (high[..., None] >> places & 7) << 8
    scale = from_bytes(blocks[:, :2]) * (2 * (high >> 12 & 7) + 1)
    return _weights(points, scale[..., None], (high >> 15)[..., None])


def decode_m(blocks: Tensor) -> Tensor:
    """(n, 56) to (n, 256)."""
    import torch

    places = torch.arange(4, dtype=torch.int32, device=blocks.device)
    numbers = _numbers(blocks[:, 48:])  # (n, 4)
    half = ((numbers >> 12) << 4 * places).sum(-1, keepdim=True)
    scales = (numbers[..., None] >> 3 * places & 7).flatten(1)  # (n, 16)
    scale = from_bytes(_two_bytes(half)) * (2 * scales + 1)
    high = blocks[:, 32:48, None].int() >> 4 * places[:2] & 15  # (n, 16, 2)
    points = blocks[:, :32].int().view(-1, 16, 2) | (high & 7) << 8
    return _weights(points, scale[..., None], high >> 3)


def _weights(points: Tensor, scale: Tensor, negative: Tensor) -> Tensor:
    """(n, s, groups) points, and scales and signs of delta that go with them."""
    import torch

    from app.encodings.grids import IQ1

    levels = torch.from_numpy(IQ1.levels()).to(points.device).float() - 1
    delta = DELTA - 2 * DELTA * negative.float()
    return (scale[..., None] * (levels[points.long()] + delta[..., None])).flatten(1)
