"""Evenly spaced grids, whatever the encoding that stores them.

A group of neighbouring weights of a row shares a grid: value = step * code + offset. An `Affine`
encoding names its grids itself; those of GGUF's blocks are read from the blocks that its own
search made.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from typing_extensions import override

from app.encodings.affine import Affine
from app.encodings.base import Block, Encoding
from app.encodings.block_grids import BLOCK_GRIDS

if TYPE_CHECKING:
    from torch import Tensor


class Grids(ABC):
    """The grids of one matrix, found by the encoding's own search and kept until it is stored."""

    span: int
    """Columns whose grids are stored together: they have to be found at once."""
    columns: int
    """Columns a group."""
    lowest: int
    """The lowest code."""
    highest: int
    """The highest code."""

    @abstractmethod
    def find(self, weight: Tensor, first: int) -> tuple[Tensor, Tensor]:
        """Choose the grids of the columns from `first` on.

        Args:
            weight: Those columns, (rows, some spans), float32.
            first: The number of the first one in the matrix.

        Returns:
            Steps and offsets, (rows, groups) each; steps may be 0 or negative.
        """

    @abstractmethod
    def store(self, codes: Tensor) -> dict[str, Tensor]:
        """The encoding's parts for codes (rows, in), whole numbers, on the grids last found."""


class AffineGrids(Grids):
    """Of an `Affine` encoding."""

    def __init__(self, encoding: Affine, weight: Tensor, importance: Tensor | None) -> None:
        self._encoding, self._importance = encoding, importance
        self.span = self.columns = encoding.columns_a_group(tuple(weight.shape))
        self.lowest, self.highest = 0, 2**encoding.bits - 1
        self._scale = weight.new_empty(len(weight), weight.shape[-1] // self.columns)
        self._zero = self._scale.clone()

    @override
    def find(self, weight: Tensor, first: int) -> tuple[Tensor, Tensor]:
        scale, zero = self._encoding.grid(weight, _part(self._importance, first, weight))
        groups = slice(first // self.columns, (first + weight.shape[-1]) // self.columns)
        self._scale[:, groups], self._zero[:, groups] = scale, zero
        return scale, -scale * zero

    @override
    def store(self, codes: Tensor) -> dict[str, Tensor]:
        import torch

        return self._encoding.pack(codes.to(torch.uint8), self._scale, self._zero)


class BlockGrids(Grids):
    """Of one of GGUF's blocks."""

    def __init__(self, encoding: Block, weight: Tensor, importance: Tensor | None) -> None:
        import torch

        self._encoding, self._importance = encoding, importance
        self._kind = BLOCK_GRIDS[encoding.name]
        self.span, self.columns = encoding.block, self._kind.columns
        self.lowest, self.highest = self._kind.lowest, self._kind.highest
        shape = len(weight), weight.shape[-1] // encoding.block, encoding.block_bytes
        self._blocks = torch.empty(shape, dtype=torch.uint8, device=weight.device)

    @override
    def find(self, weight: Tensor, first: int) -> tuple[Tensor, Tensor]:
        found = self._encoding.encode(weight, _part(self._importance, first, weight))["blocks"]
        blocks = found.view(len(weight), -1, self._encoding.block_bytes)
        place = first // self.span
        self._blocks[:, place : place + blocks.shape[1]] = blocks
        step, offset = self._kind.read(blocks.flatten(0, 1))
        return step.view(len(weight), -1), offset.view(len(weight), -1)

    @override
    def store(self, codes: Tensor) -> dict[str, Tensor]:
        import torch

        each = codes.to(torch.int32).reshape(-1, self.span)
        return {"blocks": self._kind.write(self._blocks.flatten(0, 1), each).view(len(codes), -1)}


def has_grids(encoding: Encoding) -> bool:
    """Whether the values of `encoding` are evenly spaced in each group."""
    return isinstance(encoding, Affine) or encoding.name in BLOCK_GRIDS


def grids_of(encoding: Encoding, weight: Tensor, importance: Tensor | None = None) -> Grids:
    """Grids for a matrix, (rows, in), none of them found yet; see `Encoding.encode`."""
    if isinstance(encoding, Affine):
        return AffineGrids(encoding, weight, importance)
    assert isinstance(encoding, Block)
    return BlockGrids(encoding, weight, importance)


def inverse(step: Tensor) -> Tensor:
    """1 / step; 0 where that is no number: all codes of such a grid are equal."""
    import torch

    found = 1 / step
    return torch.where(found.isfinite(), found, 0.0)


def _part(importance: Tensor | None, first: int, weight: Tensor) -> Tensor | None:
    return None if importance is None else importance[first : first + weight.shape[-1]]
