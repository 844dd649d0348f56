"""MXFP4 and NVFP4; the search is explained in `app.encodings.kernels.fp4`.

Shapes: n blocks of 1 or 4 sub-blocks. What there is one of for each sub-block is (n, subs, 1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.encodings.kernels.codebooks import (
    E8M0_CHANGES,
    E8M0_HALVES,
    E8M0_LAST,
    FP4,
    FP4_MIDDLES,
    UE4M3_CHANGES,
    UE4M3_HALVES,
    UE4M3_LAST,
)

if TYPE_CHECKING:
    from torch import Tensor


def encode(weight: Tensor, importance: Tensor | None, size: int) -> Tensor:
    """(n, 32) to (n, 17), or (n, 64) to (n, 36); `size` is that of a sub-block."""
    import torch

    value = weight.view(len(weight), -1, size)  # (n, subs, size)
    w = None if importance is None else importance.view(value.shape)
    halves, changes = (
        (E8M0_HALVES[: E8M0_LAST + 1], E8M0_CHANGES)
        if size == 32
        else (UE4M3_HALVES[: UE4M3_LAST + 1], UE4M3_CHANGES)
    )
    table = torch.tensor(halves, dtype=torch.float32, device=weight.device)
    scales = _search_scales(value, w, table, changes)  # (n, subs, 1)
    step = table[scales]
    middles = torch.tensor(FP4_MIDDLES, device=weight.device)
    codes = (value.abs()[..., None] > middles * step[..., None]).sum(-1)
    codes = torch.where(step > 0, codes + 8 * ((value < 0) & (codes > 0)), 0).to(torch.uint8)
    nibbles = codes[..., : size // 2] | codes[..., size // 2 :] << 4
    return torch.cat([scales.squeeze(-1).to(torch.uint8), nibbles.flatten(1)], -1)


def decode(blocks: Tensor, size: int) -> Tensor:
    """Inverse of `encode`."""
    import torch

    subs = 1 if size == 32 else 4
    halves = E8M0_HALVES
    if size != 32:
        halves = (*UE4M3_HALVES[:-1], 0.0, *UE4M3_HALVES)  # the highest bit does not count
    table = torch.tensor(halves, dtype=torch.float32, device=blocks.device)
    step = table[blocks[:, :subs].to(torch.int32)][..., None]
    nibbles = blocks[:, subs:].reshape(-1, subs, size // 2)
    codes = torch.cat([nibbles & 15, nibbles >> 4], -1).to(torch.int32)
    signed = (*FP4, *(-value for value in FP4))
    values = torch.tensor(signed, dtype=torch.float32, device=blocks.device)
    return (step * values[codes]).flatten(1)


def _search_scales(
    value: Tensor, w: Tensor | None, table: Tensor, changes: tuple[int, ...]
) -> Tensor:
    """The scale byte of each sub-block, int32."""
    import torch

    last = len(table) - 1
    magnitude = value.abs()
    wanted = magnitude.amax(-1, keepdim=True) / 12
    start = torch.searchsorted(table, wanted, out_int32=True).clamp(max=last)
    inverse = 1 / table[start]
    unit = torch.where(inverse.isfinite(), inverse, 0.0)
    magnitude = magnitude * unit
    best = start
    least = torch.full_like(wanted, torch.inf)
    for change in changes:
        scales = (start + change).clamp(0, last)
        step = table[scales] * unit
        t = (magnitude * torch.where(step > 0, 1 / step, 0.0)).clamp(max=12)
        missed = (_rounded(t) * step - magnitude).square()
        error = (missed if w is None else w * missed).sum(-1, keepdim=True)
        better = error < least
        least = torch.where(better, error, least)
        best = torch.where(better, scales, best)
    return best


def _rounded(t: Tensor) -> Tensor:
    """The nearest of 0, 1, 2, 3, 4, 6, 8 and 12."""
    import torch

    coarse = torch.where(t < 8, (t / 2).round() * 2, (t / 4).round() * 4)
    return torch.where(t < 4, t.round(), coarse)
