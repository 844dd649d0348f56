"""Q4_K and Q5_K; the layout is explained in `app.encodings.kernels.k_affine`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.encodings.kernels.numbers import Q4_K, Q5_K
from app.encodings.vectorised import affine_search
from app.encodings.vectorised.halves import from_bytes, to_bytes

if TYPE_CHECKING:
    from torch import Tensor


def encode(weight: Tensor, importance: Tensor | None, bits: int) -> Tensor:
    """(n, 256) to (n, 144) or (n, 176)."""
    import torch

    codes = affine_search.search(weight, importance, Q4_K if bits == 4 else Q5_K)
    q = codes.round(weight.view(-1, 8, 32), 2**bits - 1)
    numbers = (codes.scale, codes.minimum)
    scales = _pack_scales(*(some.squeeze(-1).to(torch.uint8) for some in numbers))
    return torch.cat([to_bytes(codes.halves), scales, pack_codes(q, bits)], -1)


def pack_codes(codes: Tensor, bits: int) -> Tensor:
    """(n, 8, 32) whole numbers to what stands behind the scales, (n, 128) or (n, 160)."""
    import torch

    nibbles = (codes[:, 0::2] & 15) | ((codes[:, 1::2] & 15) << 4)
    packed = nibbles.flatten(1).to(torch.uint8)
    if bits == 4:
        return packed
    places = torch.arange(8, dtype=torch.int32, device=codes.device)[:, None]
    high = ((codes >> 4).to(torch.int32) << places).sum(1)
    return torch.cat([high.to(torch.uint8), packed], -1)


def decode(blocks: Tensor, bits: int) -> Tensor:
    """Inverse of `encode`."""
    import torch

    scale, minimum = grids(blocks)
    nibbles = blocks[:, -128:].view(-1, 4, 1, 32)
    q = torch.cat([nibbles & 15, nibbles >> 4], 2).view(-1, 8, 32)
    if bits == 5:
        places = torch.arange(8, dtype=torch.int32, device=blocks.device)[:, None]
        high = (blocks[:, None, 16:48].to(torch.int32) >> places) & 1
        q = q.to(torch.int32) | high << 4
    return (scale[..., None] * q.float() - minimum[..., None]).flatten(1)


def grids(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """The scale and the minimum, which is subtracted, of each sub-block: (n, 8) each."""
    import torch

    d, dmin = torch.split(from_bytes(blocks[:, :4]), 1, 1)  # (n, 1) each
    codes, minima = _unpack_scales(blocks[:, 4:16])
    return d * codes, dmin * minima


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
