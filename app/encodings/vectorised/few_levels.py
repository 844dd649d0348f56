"""TQ1_0, TQ2_0, Q2_0 and Q1_0; `app.encodings.kernels.few_levels` explains search and bytes.

Shapes: n blocks; what there is one of for each block is (n, 1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.encodings.kernels.codebooks import (
    NEIGHBOUR,
    QUARTER_STARTS,
    REFIT_GAIN,
    REFITS,
    TAIL,
    TERNARY_STARTS,
)
from app.encodings.vectorised.halves import from_bytes, to_bytes

if TYPE_CHECKING:
    from torch import Tensor

TRITS = ((0, 32, 5), (160, 16, 5), (240, 4, 4))
"""TQ1_0: for each part, its first weight, its bytes and the digits of each."""


def encode_trits(weight: Tensor, importance: Tensor | None) -> Tensor:
    """TQ1_0: (n, 256) to (n, 54)."""
    import torch

    halves, codes = _fitted(weight, importance, 1)
    codes = codes.to(torch.int32)
    parts = []
    for first, stride, digits in TRITS:
        part = codes[:, first : first + stride * digits].view(-1, digits, stride)
        powers = 3 ** torch.arange(4, 4 - digits, -1, dtype=torch.int32, device=weight.device)
        number = (part * powers[:, None]).sum(1)
        parts.append(((number * 256 + 242) // 243).to(torch.uint8))
    return torch.cat([*parts, to_bytes(halves)], -1)


def decode_trits(blocks: Tensor) -> Tensor:
    """Inverse of `encode_trits`."""
    import torch

    parts, at = [], 0
    for _, stride, digits in TRITS:
        powers = 3 ** torch.arange(digits, dtype=torch.int32, device=blocks.device)
        bytes_ = blocks[:, None, at : at + stride].to(torch.int32)
        rest = (bytes_ * powers[:, None]) & 255
        parts.append((rest * 3 >> 8).flatten(1))
        at += stride
    return (torch.cat(parts, -1) - 1).float() * from_bytes(blocks[:, -2:])


def encode_pairs(weight: Tensor, importance: Tensor | None) -> Tensor:
    """TQ2_0: (n, 256) to (n, 66); Q2_0: (n, 64) to (n, 18)."""
    import torch

    ternary = weight.shape[-1] == 256
    halves, codes = _fitted(weight, importance, 1 if ternary else 2)
    fours = codes.view(-1, 2, 4, 32).transpose(2, 3) if ternary else codes.view(-1, 16, 1, 4)
    places = torch.arange(0, 8, 2, dtype=torch.int32, device=weight.device)
    packed = (fours.to(torch.int32) << places).sum(-1).flatten(1).to(torch.uint8)
    scale = to_bytes(halves)
    return torch.cat([packed, scale] if ternary else [scale, packed], -1)


def decode_pairs(blocks: Tensor) -> Tensor:
    """Inverse of `encode_pairs`."""
    import torch

    ternary = blocks.shape[-1] == 66
    scale, packed = (blocks[:, -2:], blocks[:, :-2]) if ternary else (blocks[:, :2], blocks[:, 2:])
    places = torch.arange(0, 8, 2, dtype=torch.int32, device=blocks.device)
    fours = (packed[..., None].to(torch.int32) >> places) & 3  # (n, bytes, 4)
    if ternary:
        fours = fours.view(-1, 2, 32, 4).transpose(2, 3)
    return (fours.flatten(1) - 1).float() * from_bytes(scale)


def encode_signs(weight: Tensor, importance: Tensor | None) -> Tensor:
    """Q1_0: (n, 128) to (n, 18)."""
    import torch

    if importance is None:
        total = torch.zeros_like(weight[:, :1])
        for magnitudes in torch.split(weight.abs(), 1, -1):  # in ggml's order
            total = total + magnitudes
        scale = total / weight.shape[-1]
    else:
        scale = _mean_magnitude(weight, importance)
    places = torch.arange(8, dtype=torch.int32, device=weight.device)
    packed = ((weight >= 0).view(-1, 16, 8).to(torch.int32) << places).sum(-1)
    return torch.cat([to_bytes(scale.half()), packed.to(torch.uint8)], -1)


def decode_signs(blocks: Tensor) -> Tensor:
    """Inverse of `encode_signs`."""
    import torch

    places = torch.arange(8, dtype=torch.int32, device=blocks.device)
    signs = ((blocks[:, 2:, None].to(torch.int32) >> places) & 1).flatten(1)
    scale = from_bytes(blocks[:, :2])
    return torch.where(signs > 0, scale, -scale)


def _fitted(weight: Tensor, importance: Tensor | None, top: int) -> tuple[Tensor, Tensor]:
    """Scales as float16, and codes 0 .. top + 1 as float32."""
    import torch

    w = torch.ones_like(weight) if importance is None else importance
    halves = _search(weight, w, top).half()
    scale = halves.float()
    inverse = torch.where(scale != 0, 1 / scale, 0.0)
    return halves, (weight * inverse).round().clamp(-1, top) + 1


def _search(x: Tensor, w: Tensor, top: int) -> Tensor:
    """The scale with the least square error that was found."""
    import torch

    mean = _mean_magnitude(x, w)
    largest = x.abs().amax(-1, keepdim=True)
    starts = [start * mean for start in TERNARY_STARTS]
    neighbours = [1.0]
    if top == 2:
        further = (x.abs() - TAIL * mean).clamp(min=0)
        side = (w * further.square() * x.sign()).sum(-1, keepdim=True)
        sign = torch.where(side >= 0, 1.0, -1.0)
        starts = [sign * largest / 2, *(start * sign * mean for start in QUARTER_STARTS)]
        neighbours = [1.0, NEIGHBOUR]
    best, most = _fit(x, w, largest, top)
    for start in starts:
        best, most = _better(best, most, _fit(x, w, start, top))
    for _ in range(REFITS):
        base = best
        for neighbour in neighbours:
            best, most = _better(best, most, _fit(x, w, neighbour * base, top))
    return best


def _better(best: Tensor, most: Tensor, found: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """A scale and its gain, or what was found if that is better."""
    import torch

    scale, gain = found
    better = gain > most * (1 + REFIT_GAIN)
    return torch.where(better, scale, best), torch.where(better, gain, most)


def _fit(x: Tensor, w: Tensor, scale: Tensor, top: int) -> tuple[Tensor, Tensor]:
    """Round to -1 .. top times `scale`; the best scale for these codes and what it gains."""
    import torch

    q = (x * torch.where(scale != 0, 1 / scale, 0.0)).round().clamp(-1, top)
    wq = w * q
    qq, qv = (wq * q).sum(-1, keepdim=True), (wq * x).sum(-1, keepdim=True)
    best = torch.where(qq > 0, qv / qq, 0.0)
    return best, best * qv


def _mean_magnitude(x: Tensor, w: Tensor) -> Tensor:
    return (w * x.abs()).sum(-1, keepdim=True) / w.sum(-1, keepdim=True)
