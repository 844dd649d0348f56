"""MXFP4 and NVFP4: floats of 4 bits, as graphics processors multiply them."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from app.encodings.base import Overflow
from app.encodings.ggml_block import GgmlBlock

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


class _Float4(GgmlBlock):
    """Sub-blocks of E2M1 numbers, each with a scale of one byte."""

    @property
    @abstractmethod
    def sub(self) -> int:
        """Weights a sub-block."""

    @override
    def encode_kernel(
        self,
        weights: NDArray[np.float32],
        importance: NDArray[np.float32],
        out: NDArray[np.uint8],
    ) -> int:
        from app.encodings.kernels import fp4

        return int(fp4.encode(weights, importance, self.sub, out))

    @override
    def decode_kernel(self, blocks: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
        from app.encodings.kernels import fp4

        fp4.decode(blocks, self.sub, out)

    @override
    def encode_torch(self, weight: Tensor, importance: Tensor | None) -> Tensor:
        """Encode (n, block) weights; see the base class.

        Raises:
            Overflow: A weight is beyond the largest: these scales have no infinity to show it.
        """
        from app.encodings.vectorised import fp4

        largest = float(weight.abs().amax())
        if largest > self.largest:
            raise Overflow(largest, self.largest)
        return fp4.encode(weight, importance, self.sub)

    @override
    def decode_torch(self, blocks: Tensor) -> Tensor:
        from app.encodings.vectorised import fp4

        return fp4.decode(blocks, self.sub)


class MXFP4(_Float4):
    """The format of gpt-oss: floats of 4 bits, and a power of two for every 32."""

    name: ClassVar[str] = "MXFP4"
    ggml_id: ClassVar[int] = 39
    block: ClassVar[int] = 32
    block_bytes: ClassVar[int] = 17
    largest: ClassVar[float] = 12 * 2.0**124
    sub = 32


class NVFP4(_Float4):
    """Floats of 4 bits, and a finer scale for every 16; weights below 0.0005 vanish."""

    name: ClassVar[str] = "NVFP4"
    ggml_id: ClassVar[int] = 40
    block: ClassVar[int] = 64
    block_bytes: ClassVar[int] = 36
    largest: ClassVar[float] = 12 * 224.0
    sub = 16
