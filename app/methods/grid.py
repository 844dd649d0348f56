"""Evenly spaced grids, whatever the encoding that stores them.

A group of neighbouring weights of a row shares a grid: value = step * code + offset. An `Affine`
encoding names its grids itself; those of GGUF's blocks are read from the blocks that its own
search made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from app.encodings.affine import Affine
from app.encodings.base import Block, Encoding
from app.encodings.block_grids import BLOCK_GRIDS

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Grid:
    """The values that each weight of a matrix may take, on the matrix's device."""

    step: Tensor
    """(rows, groups), float32; may be 0 or negative."""
    offset: Tensor
    """(rows, groups), float32."""
    lowest: int
    """The lowest code."""
    highest: int
    """The highest code."""
    columns: int
    """Columns a group."""

    def codes(self, weight: Tensor) -> Tensor:
        """The nearest codes of (rows, in), float32."""
        step, offset = self.spread()
        return ((weight - offset) * inverse(step)).round().clamp(self.lowest, self.highest)

    def values(self, codes: Tensor) -> Tensor:
        """What codes (rows, in) stand for."""
        step, offset = self.spread()
        return codes * step + offset

    def spread(self) -> tuple[Tensor, Tensor]:
        """Steps and offsets of each weight, (rows, in)."""
        return (
            self.step.repeat_interleave(self.columns, -1),
            self.offset.repeat_interleave(self.columns, -1),
        )

    def rows(self, some: slice) -> Grid:
        """The grids of some of the rows."""
        return replace(self, step=self.step[some], offset=self.offset[some])


Store = Callable[["Tensor"], dict[str, "Tensor"]]
"""Makes an encoding's parts of codes, (rows, in), on the grid that it came with."""


def has_grid(encoding: Encoding) -> bool:
    """Whether the values of `encoding` are evenly spaced in each group."""
    return isinstance(encoding, Affine) or encoding.name in BLOCK_GRIDS


def grid_of(
    encoding: Encoding, weight: Tensor, importance: Tensor | None = None
) -> tuple[Grid, Store]:
    """The grids that the encoding itself finds for a matrix, and what stores codes on them.

    Args:
        encoding: One that has grids.
        weight: (rows, in), float32.
        importance: As in `Encoding.encode`.
    """
    import torch

    if isinstance(encoding, Affine):
        scale, zero = encoding.grid(weight, importance)
        affine = affine_grid(encoding, scale, zero, weight.shape[-1])
        return affine, lambda codes: encoding.pack(codes.to(torch.uint8), scale, zero)
    assert isinstance(encoding, Block)
    kind = BLOCK_GRIDS[encoding.name]
    blocks = encoding.encode(weight, importance)["blocks"]
    each = blocks.view(-1, encoding.block_bytes)
    step, offset = (part.view(len(weight), -1) for part in kind.read(each))
    columns = weight.shape[-1] // step.shape[-1]

    def store(codes: Tensor) -> dict[str, Tensor]:
        stored = kind.write(each, codes.to(torch.int32).view(-1, encoding.block))
        return {"blocks": stored.view(blocks.shape)}

    return Grid(step, offset, kind.lowest, kind.highest, columns), store


def affine_grid(encoding: Affine, scale: Tensor, zero: Tensor, columns: int) -> Grid:
    """The grids value = scale * (code - zero), of a matrix with so many columns."""
    top = 2**encoding.bits - 1
    return Grid(scale, -scale * zero, 0, top, columns // scale.shape[-1])


def inverse(step: Tensor) -> Tensor:
    """1 / step; 0 where that is no number: all codes of such a grid are equal."""
    import torch

    found = 1 / step
    return torch.where(found.isfinite(), found, 0.0)
