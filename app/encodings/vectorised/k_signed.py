"""Q6_K; the search is explained in `app.encodings.kernels.k_signed`.

Shapes: n super-blocks of 16 sub-blocks of 16 weights. What there is one of for each sub-block is
(n, 16, 1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.encodings.kernels.numbers import CHANGES, MARGIN, SIGNED_SHARE, TENTHS_SIGNED, TINY
from app.encodings.vectorised.halves import from_bytes, step_halves, to_bytes

if TYPE_CHECKING:
    from torch import Tensor


def encode(weight: Tensor) -> Tensor:
    """(n, 256) to (n, 210)."""
    import torch

    value = weight.view(-1, 16, 16)
    rms = value.square().mean(-1, keepdim=True).sqrt()
    importance = SIGNED_SHARE + (value * torch.where(rms > TINY, 1 / rms, 0.0)).square()
    scale = _search_stretches(value, importance)
    largest = scale.gather(1, scale.abs().argmax(1, keepdim=True))
    halves = step_halves(largest.squeeze(-1), -128)  # (n, 1)
    d = halves.float()[..., None]
    codes = _search_codes(value, importance, d, (scale * _inverse(d)).round().clamp(-128, 127))
    q = _round(value, _inverse(d * codes)).add(32).to(torch.uint8)
    quarters = q.view(-1, 2, 4, 32)
    low = (quarters[:, :, :2] & 15) | (quarters[:, :, 2:] & 15) << 4
    places = torch.arange(0, 8, 2, dtype=torch.int32, device=weight.device)[:, None]
    high = ((quarters >> 4).to(torch.int32) << places).sum(2).to(torch.uint8)
    scales = codes.squeeze(-1).to(torch.int8).view(torch.uint8)
    return torch.cat([low.flatten(1), high.flatten(1), scales, to_bytes(halves)], -1)


def decode(blocks: Tensor) -> Tensor:
    """Inverse of `encode`."""
    import torch

    low = blocks[:, :128].view(-1, 2, 2, 32)
    nibbles = torch.cat([low & 15, low >> 4], 2)
    places = torch.arange(0, 8, 2, dtype=torch.int32, device=blocks.device)[:, None]
    high = (blocks[:, 128:192].view(-1, 2, 1, 32).to(torch.int32) >> places) & 3
    q = (nibbles.to(torch.int32) | high << 4).view(-1, 16, 16) - 32
    scales = blocks[:, 192:208].contiguous().view(torch.int8).float()
    return (from_bytes(blocks[:, 208:]) * scales)[..., None].mul(q.float()).flatten(1)


def _search_stretches(value: Tensor, importance: Tensor) -> Tensor:
    """The real-valued scale of each sub-block."""
    import torch

    extreme = value.gather(-1, value.abs().argmax(-1, keepdim=True))
    scale = extreme / -32
    best = torch.full_like(scale, -torch.inf)
    vv = (importance * value.square()).sum(-1, keepdim=True)
    for tenths in TENTHS_SIGNED:
        inverse = torch.where(extreme.abs() > TINY, (-32 - tenths * 0.1) / extreme, 0.0)
        q = _round(value, inverse)
        wq = importance * q
        qq, qv = (wq * q).sum(-1, keepdim=True), (wq * value).sum(-1, keepdim=True)
        new_scale = torch.where(qq > 0, qv / qq, 0.0)
        gain = new_scale * qv
        better = gain > best + MARGIN * vv
        best = torch.where(better, gain, best)
        scale = torch.where(better, new_scale, scale)
    return scale


def _search_codes(value: Tensor, importance: Tensor, d: Tensor, nearest: Tensor) -> Tensor:
    """The 8-bit scale of each sub-block, given d."""
    import torch

    codes, best = nearest, torch.full_like(nearest, torch.inf)
    vv = (importance * value.square()).sum(-1, keepdim=True)
    for change in CHANGES:
        new_codes = (nearest + change).clamp(-128, 127)
        scale = d * new_codes
        difference = scale * _round(value, _inverse(scale)) - value
        error = (importance * difference.square()).sum(-1, keepdim=True)
        better = error < best - MARGIN * vv
        best = torch.where(better, error, best)
        codes = torch.where(better, new_codes, codes)
    return codes


def _round(value: Tensor, inverse: Tensor) -> Tensor:
    return (value * inverse).round().clamp(-32, 31)


def _inverse(values: Tensor) -> Tensor:
    """1 / value, or 0 for 0."""
    import torch

    return torch.where(values != 0, 1 / values, 0.0)
