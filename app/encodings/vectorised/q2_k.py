"""Q2_K; the layout is explained in `app.encodings.kernels.q2_k`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.encodings.kernels.numbers import Q2_K
from app.encodings.vectorised import affine_search
from app.encodings.vectorised.halves import from_bytes, to_bytes
from app.encodings.vectorised.pairs import pack_pairs, unpack_pairs

if TYPE_CHECKING:
    from torch import Tensor


def encode(weight: Tensor, importance: Tensor | None) -> Tensor:
    """(n, 256) to (n, 84)."""
    import torch

    codes = affine_search.search(weight, importance, Q2_K)
    q = codes.round(weight.view(-1, 16, 16), 3)
    scales = (codes.scale + 16 * codes.minimum).squeeze(-1).to(torch.uint8)
    return torch.cat([scales, pack_pairs(q), to_bytes(codes.halves)], -1)


def decode(blocks: Tensor) -> Tensor:
    """Inverse of `encode`."""
    import torch

    d, dmin = torch.split(from_bytes(blocks[:, 80:])[..., None], 1, 1)  # (n, 1, 1) each
    scales = blocks[:, :16, None]
    q = unpack_pairs(blocks[:, 16:80]).view(-1, 16, 16)
    weight: Tensor = d * (scales & 15) * q - dmin * (scales >> 4)
    return weight.flatten(1)
