"""IQ4_NL and IQ4_XS; the search is explained in `app.encodings.kernels.iq4`.

Shapes: n blocks of 1 or 8 sub-blocks of 32 weights. What there is one of for each sub-block is
(n, subs, 1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.encodings.kernels.codebooks import (
    IQ4,
    IQ4_CHANGES,
    IQ4_CODE,
    IQ4_MIDDLES,
    IQ4_SHARE,
    IQ4_STRETCHES,
    IQ4_UNIT,
    IQ4_VALUE,
)
from app.encodings.kernels.numbers import MARGIN, TINY
from app.encodings.vectorised.halves import from_bytes, step_halves, to_bytes

if TYPE_CHECKING:
    from torch import Tensor


def encode(weight: Tensor, importance: Tensor | None, subs: int) -> Tensor:
    """(n, 32) to (n, 18), or (n, 256) to (n, 136)."""
    import torch

    value = weight.view(-1, subs, 32)
    rms = value.square().mean(-1, keepdim=True).sqrt()
    w = IQ4_SHARE + (value * torch.where(rms > TINY, 1 / rms, 0.0)).square()
    if importance is not None:
        w = w * importance.view(value.shape)
    scale = _search_stretches(value, w)
    if subs == 1:
        halves = scale.view(-1, 1).half()
        header, scale = [to_bytes(halves)], halves.float()[..., None]
    else:
        largest = scale.gather(1, scale.abs().argmax(1, keepdim=True))
        halves = step_halves(largest.squeeze(-1), -32)  # (n, 1)
        d = halves.float()[..., None]
        codes = _search_codes(value, w, d, (scale * _inverse(d)).round().clamp(-32, 31))
        header, scale = [to_bytes(halves), _pack_scales(codes.squeeze(-1))], d * codes
    middles = torch.tensor(IQ4_MIDDLES, device=weight.device)
    nearest = torch.bucketize(value * _inverse(scale), middles, out_int32=True, right=True)
    q = nearest.to(torch.uint8)
    nibbles = q[..., :16] | q[..., 16:] << 4
    return torch.cat([*header, nibbles.flatten(1)], -1)


def decode(blocks: Tensor, subs: int) -> Tensor:
    """Inverse of `encode`."""
    import torch

    scale = from_bytes(blocks[:, :2])  # (n, 1)
    if subs == 8:
        scale = scale * _unpack_scales(blocks[:, 2:8])
    nibbles = blocks[:, -16 * subs :].reshape(-1, subs, 16)
    codes = torch.cat([nibbles & 15, nibbles >> 4], -1).to(torch.int32)
    values = torch.tensor(IQ4, dtype=torch.float32, device=blocks.device)
    return (scale[..., None] * values[codes]).flatten(1)


def _search_stretches(value: Tensor, w: Tensor) -> Tensor:
    """The real-valued scale of each sub-block."""
    import torch

    extreme = value.gather(-1, value.abs().argmax(-1, keepdim=True))
    scale = extreme / IQ4[0]
    vv = _sum(w * value.square())
    best = torch.full_like(scale, torch.inf)
    for stretch in IQ4_STRETCHES:
        inverse = torch.where(extreme.abs() > TINY, stretch / IQ4_UNIT / extreme, 0.0)
        qq, qv = _tally(value, w, inverse)
        new_scale = qv / qq
        error = vv - new_scale * qv
        better = error < best - MARGIN * vv
        best = torch.where(better, error, best)
        scale = torch.where(better, new_scale, scale)
    return scale


def _search_codes(value: Tensor, w: Tensor, d: Tensor, nearest: Tensor) -> Tensor:
    """The 6-bit scale of each sub-block, less 32, given d."""
    import torch

    vv = _sum(w * value.square())
    codes, best = nearest, torch.full_like(nearest, torch.inf)
    for change in IQ4_CHANGES:
        new_codes = (nearest + change).clamp(-32, 31)
        scale = d * new_codes
        qq, qv = _tally(value, w, _inverse(scale) / IQ4_UNIT)
        error = scale * (scale * qq - 2 * qv) + vv
        better = error < best - MARGIN * vv
        best = torch.where(better, error, best)
        codes = torch.where(better, new_codes, codes)
    return codes


def _tally(value: Tensor, w: Tensor, inverse: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted sums of q q and q v over the codebook's values q near v * inverse * IQ4_UNIT."""
    t = (value * inverse).clamp(IQ4[0] / IQ4_UNIT, IQ4[-1] / IQ4_UNIT)
    q = _polynomial(_polynomial(t, IQ4_CODE).round(), IQ4_VALUE).round()
    wq = w * q
    return _sum(wq * q), _sum(wq * value)


def _polynomial(x: Tensor, coefficients: tuple[float, ...]) -> Tensor:
    """Horner's scheme; the lowest power comes first."""
    *rest, last = coefficients
    result = x * last
    for coefficient in reversed(rest[1:]):
        result = (result + coefficient) * x
    return result + rest[0]


def _pack_scales(codes: Tensor) -> Tensor:
    """(n, 8) of -32 .. 31 to (n, 6): two bytes of high bits, four of low nibbles."""
    import torch

    whole = (codes + 32).to(torch.int32)
    places = torch.arange(0, 8, 2, dtype=torch.int32, device=codes.device)
    highs = ((whole >> 4).view(-1, 2, 4) << places).sum(-1)
    lows = (whole[:, 0::2] & 15) | (whole[:, 1::2] & 15) << 4
    return torch.cat([highs, lows], -1).to(torch.uint8)


def _unpack_scales(packed: Tensor) -> Tensor:
    """Inverse of `_pack_scales`, as float32."""
    import torch

    places = torch.arange(0, 8, 2, dtype=torch.int32, device=packed.device)
    highs = (packed[:, :2, None].to(torch.int32) >> places).view(-1, 8) & 3
    lows = torch.stack([packed[:, 2:] & 15, packed[:, 2:] >> 4], -1).view(-1, 8)
    return (lows.to(torch.int32) | highs << 4).float() - 32


def _sum(values: Tensor) -> Tensor:
    return values.sum(-1, keepdim=True)


def _inverse(values: Tensor) -> Tensor:
    """1 / value, or 0 for 0."""
    import torch

    return torch.where(values != 0, 1 / values, 0.0)
