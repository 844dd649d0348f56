"""Blocks of 32 weights; the bytes and the order of operations are ggml's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.encodings.kernels.numbers import AffineGrid, SignedGrid
from app.encodings.vectorised import affine_search, signed_search
from app.encodings.vectorised.halves import from_bytes, to_bytes

if TYPE_CHECKING:
    from torch import Tensor


def encode_bytes(weight: Tensor) -> Tensor:
    """Q8_0: (n, 32) to (n, 34)."""
    import torch

    scale = weight.abs().amax(-1, keepdim=True) / 127
    value = weight * _inverse(scale)
    whole = value.trunc()  # half away from zero, where round would go to even
    codes = whole + ((value - whole).abs() >= 0.5) * value.sign()
    return torch.cat([to_bytes(scale.half()), codes.to(torch.int8).view(torch.uint8)], -1)


def decode_bytes(blocks: Tensor) -> Tensor:
    """Inverse of `encode_bytes`."""
    import torch

    return blocks[:, 2:].contiguous().view(torch.int8).float() * from_bytes(blocks[:, :2])


def encode(weight: Tensor, bits: int, *, affine: bool) -> Tensor:
    """Q4_0, Q4_1, Q5_0, Q5_1: (n, 32) to (n, header + 16)."""
    import torch

    if affine:
        minimum = weight.gather(-1, weight.argmin(-1, keepdim=True))
        scale = (weight.amax(-1, keepdim=True) - minimum).abs() / (2**bits - 1)  # no -0.0
        header = [to_bytes(scale.half()), to_bytes(minimum.half())]
        value = (weight - minimum) * _inverse(scale) + 0.5
    else:
        extreme = weight.gather(-1, weight.abs().argmax(-1, keepdim=True))
        extreme = torch.where(extreme == 0, 0.0, extreme)  # the same bytes for 0.0 and -0.0
        scale = extreme / -(1 << (bits - 1))
        header = [to_bytes(scale.half())]
        value = weight * _inverse(scale) + ((1 << (bits - 1)) + 0.5)
    return pack(header, value.to(torch.int32).clamp(max=2**bits - 1), bits)


def encode_weighed(weight: Tensor, importance: Tensor, grid: SignedGrid | AffineGrid) -> Tensor:
    """The same, with a search where columns differ in importance."""
    import torch

    blocks, columns = weight[:, None], importance[:, None]  # each a single sub-block
    if isinstance(grid, AffineGrid):
        top = float(grid.top)
        scale, low = affine_search.Fit.of(blocks, columns, grid).search_spans()
        halves = torch.cat([scale, low], -1).squeeze(1).half()
        scale, low = torch.split(halves.float(), 1, -1)
    else:
        top = -2 * float(grid.lowest) - 1
        halves = signed_search.Fit.of(blocks, columns, grid).search_places().squeeze(1).half()
        scale = halves.float()
        low = scale * float(grid.lowest)
    codes = ((weight - low) * _inverse(scale)).round().clamp(0, top)
    return pack([to_bytes(halves)], codes.to(torch.int32), int(top + 1).bit_length() - 1)


def pack(header: list[Tensor], codes: Tensor, bits: int) -> Tensor:
    """(n, 32) codes behind their scales and minima; for 5 bits the high ones in between."""
    import torch

    if bits == 5:
        places = 2 ** torch.arange(8, dtype=torch.int32, device=codes.device)
        high = ((codes >> 4).view(-1, 4, 8) * places).sum(-1)
        header = [*header, high.to(torch.uint8)]
    nibbles = (codes[:, :16] & 15) | ((codes[:, 16:] & 15) << 4)
    return torch.cat([*header, nibbles.to(torch.uint8)], -1)


def decode(blocks: Tensor, bits: int, *, affine: bool) -> Tensor:
    """Inverse of `encode`."""
    import torch

    codes = blocks[:, -16:].to(torch.int32)
    codes = torch.cat([codes & 15, codes >> 4], -1)
    if bits == 5:
        places = torch.arange(8, dtype=torch.int32, device=blocks.device)
        high = (blocks[:, -20:-16].to(torch.int32)[..., None] >> places) & 1
        codes |= high.view(-1, 32) << 4
    scale = from_bytes(blocks[:, :2])
    if affine:
        return codes.float() * scale + from_bytes(blocks[:, 2:4])
    return (codes - (1 << (bits - 1))).float() * scale


def _inverse(scale: Tensor) -> Tensor:
    """1 / scale; 0 where that is no number: such a scale is 0 as a float16 anyway."""
    import torch

    inverse = 1 / scale
    return torch.where(inverse.isfinite(), inverse, 0.0)
