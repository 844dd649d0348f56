"""Q3_K; the layout is explained in `app.encodings.kernels.q3_k`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.encodings.kernels.numbers import Q3_K, Q3_K_WEIGHED
from app.encodings.vectorised import signed_search
from app.encodings.vectorised.halves import from_bytes, to_bytes
from app.encodings.vectorised.pairs import pack_pairs, unpack_pairs

if TYPE_CHECKING:
    from torch import Tensor


def encode(weight: Tensor, importance: Tensor | None) -> Tensor:
    """(n, 256) to (n, 110)."""
    import torch

    grid = Q3_K if importance is None else Q3_K_WEIGHED
    codes = signed_search.search(weight, importance, grid)
    q = codes.round(weight.view(-1, 16, 16), -4)
    places = torch.arange(8, dtype=torch.int32, device=weight.device)[:, None]
    high = ((q >> 2).view(-1, 8, 32).to(torch.int32) << places).sum(1).to(torch.uint8)
    scales = _pack_scales((codes.scale + 32).squeeze(-1).to(torch.uint8))
    return torch.cat([high, pack_pairs(q & 3), scales, to_bytes(codes.half)], -1)


def decode(blocks: Tensor) -> Tensor:
    """Inverse of `encode`."""
    import torch

    places = torch.arange(8, dtype=torch.int32, device=blocks.device)[:, None]
    high = (blocks[:, None, :32].to(torch.int32) >> places) & 1
    q = unpack_pairs(blocks[:, 32:96]).view(-1, 8, 32) + 4 * high - 4
    scale = from_bytes(blocks[:, 108:]) * (_unpack_scales(blocks[:, 96:108]).float() - 32)
    return (scale[..., None] * q.view(-1, 16, 16)).flatten(1)


def _pack_scales(codes: Tensor) -> Tensor:
    """(n, 16) of 6 bits to (n, 12)."""
    import torch

    nibbles = (codes[:, :8] & 15) | (codes[:, 8:] & 15) << 4
    first, second, third, fourth = (codes >> 4).view(-1, 4, 4).unbind(1)
    return torch.cat([nibbles, first | second << 2 | third << 4 | fourth << 6], -1)


def _unpack_scales(packed: Tensor) -> Tensor:
    """Inverse of `_pack_scales`."""
    import torch

    nibbles = torch.cat([packed[:, :8] & 15, packed[:, :8] >> 4], -1)
    pairs = torch.cat([(packed[:, 8:] >> shift) & 3 for shift in (0, 2, 4, 6)], -1)
    return nibbles | pairs << 4
