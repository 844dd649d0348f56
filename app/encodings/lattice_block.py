"""IQ2 and IQ3: groups of weights are points on a grid of magnitudes, with signs apart.

2.06 to 3.44 bits a weight. Their files are usually made with importances, and read everywhere; on
processors they are slower to compute with than the K encodings, because grids are looked up.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from app.encodings.ggml_block import GgmlBlock

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from app.encodings.grids import Grid
    from app.encodings.kernels.iq_numbers import Kind


class LatticeBlock(GgmlBlock):
    """Super-blocks of 256 in 8 or 16 sub-blocks, each with a scale of 4 bits."""

    block: ClassVar[int] = 256

    @property
    @abstractmethod
    def grid(self) -> Grid:
        """The points."""

    def kind(self) -> Kind:
        """The numbers of its search."""
        from app.encodings.kernels import iq_numbers

        return iq_numbers.KINDS[self.name]

    @override
    def encode_kernel(
        self,
        weights: NDArray[np.float32],
        importance: NDArray[np.float32],
        out: NDArray[np.uint8],
    ) -> int:
        from app.encodings.kernels import iq_bytes, lattice

        grid = lattice.lattice_of(self.grid)
        return int(iq_bytes.encode(weights, importance, self.kind(), grid, out))

    @override
    def decode_kernel(self, blocks: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
        from app.encodings.kernels import iq_bytes, lattice

        iq_bytes.decode(blocks, self.kind(), lattice.lattice_of(self.grid), out)

    @override
    def encode_torch(self, weight: Tensor, importance: Tensor | None) -> Tensor:
        from app.encodings.vectorised import iq

        return iq.encode(weight, importance, self.kind(), self.grid)

    @override
    def decode_torch(self, blocks: Tensor) -> Tensor:
        from app.encodings.vectorised import iq

        return iq.decode(blocks, self.kind(), self.grid)
