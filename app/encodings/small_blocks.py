"""Q4_0, Q4_1, Q5_0 and Q5_1: 32 codes of 4 or 5 bits, a scale and, with `_1`, a minimum."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from app.encodings.ggml_block import GgmlBlock

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from app.encodings.kernels.numbers import AffineGrid, SignedGrid


@dataclass(frozen=True, slots=True)
class Grid:
    """The values that a block's weights may take."""

    bits: int
    """Bits of a code."""
    affine: bool
    """Whether the grid starts at a stored minimum; else zero is in its middle."""


class _SmallBlock(GgmlBlock):
    """Blocks of 32, for rows that do not divide by 256 and for old programs."""

    block: ClassVar[int] = 32

    @property
    @abstractmethod
    def grid(self) -> Grid:
        """The kind of grid."""

    @property
    def search(self) -> SignedGrid | AffineGrid:
        """What is tried where columns differ in importance."""
        from app.encodings.kernels import numbers

        found: SignedGrid | AffineGrid = getattr(numbers, self.name)
        return found

    @override
    def encode_kernel(
        self,
        weights: NDArray[np.float32],
        importance: NDArray[np.float32],
        out: NDArray[np.uint8],
    ) -> int:
        from app.encodings.kernels import small_blocks, small_search

        grid = self.grid
        if not importance.size:
            return int(small_blocks.encode(weights, grid.bits, grid.affine, out))
        search = small_search.encode_affine if grid.affine else small_search.encode_signed
        return int(search(weights, importance, self.search, out))

    @override
    def decode_kernel(self, blocks: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
        from app.encodings.kernels import small_blocks

        small_blocks.decode(blocks, self.block, self.grid.bits, self.grid.affine, out)

    @override
    def encode_torch(self, weight: Tensor, importance: Tensor | None) -> Tensor:
        from app.encodings.vectorised import small_blocks

        if importance is None:
            return small_blocks.encode(weight, self.grid.bits, affine=self.grid.affine)
        return small_blocks.encode_weighed(weight, importance, self.search)

    @override
    def decode_torch(self, blocks: Tensor) -> Tensor:
        from app.encodings.vectorised import small_blocks

        return small_blocks.decode(blocks, self.grid.bits, affine=self.grid.affine)


class Q40(_SmallBlock):
    """4 bits a weight and a scale."""

    name: ClassVar[str] = "Q4_0"
    ggml_id: ClassVar[int] = 2
    block_bytes: ClassVar[int] = 18
    largest: ClassVar[float] = 8 * 65504.0
    grid = Grid(bits=4, affine=False)


class Q41(_SmallBlock):
    """4 bits a weight, a scale and a minimum."""

    name: ClassVar[str] = "Q4_1"
    ggml_id: ClassVar[int] = 3
    block_bytes: ClassVar[int] = 20
    largest: ClassVar[float] = 65504.0
    grid = Grid(bits=4, affine=True)


class Q50(_SmallBlock):
    """5 bits a weight and a scale."""

    name: ClassVar[str] = "Q5_0"
    ggml_id: ClassVar[int] = 6
    block_bytes: ClassVar[int] = 22
    largest: ClassVar[float] = 16 * 65504.0
    grid = Grid(bits=5, affine=False)


class Q51(_SmallBlock):
    """5 bits a weight, a scale and a minimum."""

    name: ClassVar[str] = "Q5_1"
    ggml_id: ClassVar[int] = 7
    block_bytes: ClassVar[int] = 24
    largest: ClassVar[float] = 65504.0
    grid = Grid(bits=5, affine=True)
