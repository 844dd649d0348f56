"""The grids of GGUF's affine blocks: read from the blocks, and given other codes.

Within a sub-block all values are step * code + offset. The numbers behind step and offset are
among a block's bytes; its codes are the other bytes, and can be exchanged without touching them.
So whoever has a better way of rounding needs to know only the grid.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class BlockGrid:
    """Where a block encoding keeps its grids and its codes."""

    columns: int
    """Weights a sub-block."""
    lowest: int
    """The lowest code."""
    highest: int
    """The highest code."""
    read: Callable[[Tensor], tuple[Tensor, Tensor]]
    """Steps and offsets, (n, sub-blocks) each, of blocks (n, block_bytes)."""
    write: Callable[[Tensor, Tensor], Tensor]
    """The blocks with other codes, (n, block), int32, between the lowest and the highest."""


def _small(bits: int, *, affine: bool) -> BlockGrid:
    """Q4_0, Q4_1, Q5_0, Q5_1."""
    header = 4 if affine else 2
    lowest = 0 if affine else -(1 << (bits - 1))

    def read(blocks: Tensor) -> tuple[Tensor, Tensor]:
        from app.encodings.vectorised.halves import from_bytes

        scale = from_bytes(blocks[:, :2])
        return scale, from_bytes(blocks[:, 2:4]) if affine else scale * 0

    def write(blocks: Tensor, codes: Tensor) -> Tensor:
        from app.encodings.vectorised.small_blocks import pack

        return pack([blocks[:, :header]], codes - lowest, bits)

    return BlockGrid(32, lowest, lowest + (1 << bits) - 1, read, write)


def _bytes() -> BlockGrid:
    """Q8_0. Code -128 is left out, as in ggml: some of its products overflow there."""

    def read(blocks: Tensor) -> tuple[Tensor, Tensor]:
        from app.encodings.vectorised.halves import from_bytes

        scale = from_bytes(blocks[:, :2])
        return scale, scale * 0

    def write(blocks: Tensor, codes: Tensor) -> Tensor:
        import torch

        return torch.cat([blocks[:, :2], codes.to(torch.int8).view(torch.uint8)], -1)

    return BlockGrid(32, -127, 127, read, write)


def _affine_k(bits: int) -> BlockGrid:
    """Q4_K and Q5_K."""

    def read(blocks: Tensor) -> tuple[Tensor, Tensor]:
        from app.encodings.vectorised.k_affine import grids

        scale, minimum = grids(blocks)
        return scale, -minimum

    def write(blocks: Tensor, codes: Tensor) -> Tensor:
        import torch

        from app.encodings.vectorised.k_affine import pack_codes

        return torch.cat([blocks[:, :16], pack_codes(codes.view(-1, 8, 32), bits)], -1)

    return BlockGrid(32, 0, (1 << bits) - 1, read, write)


def _signed_k() -> BlockGrid:
    """Q6_K."""

    def read(blocks: Tensor) -> tuple[Tensor, Tensor]:
        from app.encodings.vectorised.q6_k import steps

        scale = steps(blocks)
        return scale, scale * 0

    def write(blocks: Tensor, codes: Tensor) -> Tensor:
        import torch

        from app.encodings.vectorised.q6_k import pack_codes

        return torch.cat([pack_codes(codes.view(-1, 16, 16) + 32), blocks[:, 192:]], -1)

    return BlockGrid(16, -32, 31, read, write)


BLOCK_GRIDS = {
    "Q4_0": _small(4, affine=False),
    "Q4_1": _small(4, affine=True),
    "Q5_0": _small(5, affine=False),
    "Q5_1": _small(5, affine=True),
    "Q8_0": _bytes(),
    "Q4_K": _affine_k(4),
    "Q5_K": _affine_k(5),
    "Q6_K": _signed_k(),
}
"""By the name of the encoding."""
