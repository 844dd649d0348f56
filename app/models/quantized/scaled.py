"""Numbers with a dtype of their own, times scales that blocks of them share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, prod
from typing import TYPE_CHECKING

from typing_extensions import override

from app.core.tensor import TensorInfo
from app.encodings.packing import as_float32, floats
from app.models.base import Checkpoint
from app.models.quantized.base import QuantizedWeight, expect

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Grid:
    """A tensor of which each number belongs to a block of a weight."""

    name: str
    shape: tuple[int, ...]
    """As many dimensions as the weight has."""
    block: tuple[int, ...]
    """Weights along each dimension that share a number."""

    @classmethod
    def over(cls, weight: tuple[int, ...], info: TensorInfo, sizes: Sequence[int] = ()) -> Grid:
        """The grid that a tensor of scales lays over a weight.

        Args:
            weight: The weight's shape.
            info: The scales: one for all, one for each row, or one for each block.
            sizes: A block's size in the last dimensions, where it is known. A grid of another
                number of blocks is taken to divide the weight evenly.

        Raises:
            BadModelFile: The grid does not fit the weight.
        """
        grid = info.shape if prod(info.shape) != 1 else ()
        expect(len(grid) == len(weight) or grid == weight[: len(grid)], info)
        grid += (1,) * (len(weight) - len(grid))
        known = (*(0,) * (len(weight) - len(sizes)), *sizes)
        block = []
        for length, count, size in zip(weight, grid, known, strict=True):
            if size and count == ceil(length / size):
                block.append(size)
            else:
                expect(count > 0 and length % count == 0, info)
                block.append(max(1, length // count))
        return cls(info.name, grid, tuple(block))

    def rows(self, stored: Checkpoint, weight: tuple[int, ...], start: int, stop: int) -> Tensor:
        """The grid's numbers for rows of the weight: (rows, columns or 1), float32."""
        import torch

        row = torch.arange(start, stop)
        place, stride = torch.zeros_like(row), 1
        for length, count, size in reversed(
            list(zip(weight[:-1], self.shape[:-1], self.block[:-1], strict=True))
        ):
            place += row % length // size * stride
            row //= length
            stride *= count
        numbers = stored.rows(self.name).reshape(-1, self.shape[-1])
        dtype = numbers.dtype
        if dtype.itemsize == 1:  # torch cannot pick among the smallest floats
            numbers = numbers.view(torch.uint8)
        found = floats(numbers[place].view(dtype))
        if self.shape[-1] == 1:
            return found
        return found.repeat_interleave(self.block[-1], 1)[:, : weight[-1]]


@dataclass(frozen=True, slots=True)
class Scaled(QuantizedWeight):
    """(code - zero) * scale * factor, where codes are FP8 numbers or integers of 8 bits."""

    codes: str
    scale: Grid
    zero: Grid | None = None
    factor: float = 1.0

    @override
    def rows(self, stored: Checkpoint, start: int, stop: int) -> Tensor:
        found = as_float32(stored.rows(self.codes, start, stop))
        if self.zero:
            found -= self.zero.rows(stored, self.shape, start, stop)
        found *= self.scale.rows(stored, self.shape, start, stop)
        return found.mul_(self.factor) if self.factor != 1 else found
