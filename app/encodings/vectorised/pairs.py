"""Codes of 2 bits, as Q2_K and Q3_K store them.

Each 128 codes are 32 bytes: of the four times 32, the i-th ones share byte i, from the low bits up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def pack_pairs(codes: Tensor) -> Tensor:
    """256 codes of 0 to 3 a super-block, uint8 of any shape, to (n, 64)."""
    quarters = codes.reshape(-1, 2, 4, 32)
    low, second, third, high = quarters.unbind(2)
    return (low | second << 2 | third << 4 | high << 6).flatten(1)


def unpack_pairs(packed: Tensor) -> Tensor:
    """Inverse of `pack_pairs`, (n, 256)."""
    import torch

    halves = packed.reshape(-1, 2, 32)
    return torch.stack([(halves >> shift) & 3 for shift in (0, 2, 4, 6)], 2).flatten(1)
