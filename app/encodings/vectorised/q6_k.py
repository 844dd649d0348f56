"""Q6_K; the layout is explained in `app.encodings.kernels.q6_k`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.encodings.kernels.numbers import Q6_K, Q6_K_WEIGHED
from app.encodings.vectorised import signed_search
from app.encodings.vectorised.halves import from_bytes, to_bytes

if TYPE_CHECKING:
    from torch import Tensor


def encode(weight: Tensor, importance: Tensor | None) -> Tensor:
    """(n, 256) to (n, 210)."""
    import torch

    grid = Q6_K if importance is None else Q6_K_WEIGHED
    codes = signed_search.search(weight, importance, grid)
    q = codes.round(weight.view(-1, 16, 16), -32)
    scales = codes.scale.squeeze(-1).to(torch.int8).view(torch.uint8)
    return torch.cat([pack_codes(q), scales, to_bytes(codes.half)], -1)


def pack_codes(codes: Tensor) -> Tensor:
    """Whole numbers from 0 to 63, (n, 16, 16), to what stands before the scales, (n, 192)."""
    import torch

    quarters = codes.view(-1, 2, 4, 32)
    low = (quarters[:, :, :2] & 15) | (quarters[:, :, 2:] & 15) << 4
    places = torch.arange(0, 8, 2, dtype=torch.int32, device=codes.device)[:, None]
    high = ((quarters >> 4).to(torch.int32) << places).sum(2)
    return torch.cat([low.flatten(1), high.flatten(1)], -1).to(torch.uint8)


def decode(blocks: Tensor) -> Tensor:
    """Inverse of `encode`."""
    import torch

    low = blocks[:, :128].view(-1, 2, 2, 32)
    nibbles = torch.cat([low & 15, low >> 4], 2)
    places = torch.arange(0, 8, 2, dtype=torch.int32, device=blocks.device)[:, None]
    high = (blocks[:, 128:192].view(-1, 2, 1, 32).to(torch.int32) >> places) & 3
    q = (nibbles.to(torch.int32) | high << 4).view(-1, 16, 16) - 32
    return steps(blocks)[..., None].mul(q.float()).flatten(1)


def steps(blocks: Tensor) -> Tensor:
    """The scale of each sub-block, (n, 16)."""
    import torch

    codes = blocks[:, 192:208].contiguous().view(torch.int8).float()
    return from_bytes(blocks[:, 208:]) * codes
