"""Q4_K and Q5_K: 8 sub-blocks of 32 weights, each with a scale and a minimum of 6 bits."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from app.encodings.ggml_block import GgmlBlock

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


class _AffineK(GgmlBlock):
    """Super-blocks of 256."""

    block: ClassVar[int] = 256
    largest: ClassVar[float] = 63 * 65504.0

    @property
    @abstractmethod
    def code_bits(self) -> int:
        """Bits of a weight's code."""

    @override
    def encode_kernel(
        self,
        weights: NDArray[np.float32],
        importance: NDArray[np.float32],
        out: NDArray[np.uint8],
    ) -> int:
        from app.encodings.kernels import k_affine, numbers

        grid = numbers.Q4_K if self.code_bits == 4 else numbers.Q5_K
        return int(k_affine.encode(weights, importance, self.code_bits, grid, out))

    @override
    def decode_kernel(self, blocks: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
        from app.encodings.kernels import k_affine

        k_affine.decode(blocks, self.code_bits, out)

    @override
    def encode_torch(self, weight: Tensor, importance: Tensor | None) -> Tensor:
        from app.encodings.vectorised import k_affine

        return k_affine.encode(weight, importance, self.code_bits)

    @override
    def decode_torch(self, blocks: Tensor) -> Tensor:
        from app.encodings.vectorised import k_affine

        return k_affine.decode(blocks, self.code_bits)


class Q4K(_AffineK):
    """4 bits a weight: the usual choice where memory is short."""

    name: ClassVar[str] = "Q4_K"
    ggml_id: ClassVar[int] = 12
    block_bytes: ClassVar[int] = 144
    code_bits = 4


class Q5K(_AffineK):
    """5 bits a weight: half the error of Q4_K for a quarter more memory."""

    name: ClassVar[str] = "Q5_K"
    ggml_id: ClassVar[int] = 13
    block_bytes: ClassVar[int] = 176
    code_bits = 5
