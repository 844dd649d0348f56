"""TQ1_0, TQ2_0, Q2_0 and Q1_0: two to four levels a weight.

For models that were trained with such weights, BitNet and its like; others do not survive it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from app.encodings.ggml_block import GgmlBlock

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


class TQ10(GgmlBlock):
    """Minus, zero or plus: five weights in a byte."""

    name: ClassVar[str] = "TQ1_0"
    ggml_id: ClassVar[int] = 34
    block: ClassVar[int] = 256
    block_bytes: ClassVar[int] = 54
    largest: ClassVar[float] = 65504.0

    @override
    def encode_kernel(
        self,
        weights: NDArray[np.float32],
        importance: NDArray[np.float32],
        out: NDArray[np.uint8],
    ) -> int:
        from app.encodings.kernels import few_levels

        return int(few_levels.encode_ternary(weights, importance, self.block_bytes, out))

    @override
    def decode_kernel(self, blocks: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
        from app.encodings.kernels import few_levels

        few_levels.decode_trits(blocks, out)

    @override
    def encode_torch(self, weight: Tensor, importance: Tensor | None) -> Tensor:
        from app.encodings.vectorised import few_levels

        return few_levels.encode_trits(weight, importance)

    @override
    def decode_torch(self, blocks: Tensor) -> Tensor:
        from app.encodings.vectorised import few_levels

        return few_levels.decode_trits(blocks)


class TQ20(TQ10):
    """Minus, zero or plus, in two bits: larger than TQ1_0 and faster."""

    name: ClassVar[str] = "TQ2_0"
    ggml_id: ClassVar[int] = 35
    block_bytes: ClassVar[int] = 66

    @override
    def decode_kernel(self, blocks: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
        from app.encodings.kernels import few_levels

        few_levels.decode_pairs(blocks, out)

    @override
    def encode_torch(self, weight: Tensor, importance: Tensor | None) -> Tensor:
        from app.encodings.vectorised import few_levels

        return few_levels.encode_pairs(weight, importance)

    @override
    def decode_torch(self, blocks: Tensor) -> Tensor:
        from app.encodings.vectorised import few_levels

        return few_levels.decode_pairs(blocks)


class Q20(TQ20):
    """Four levels in two bits, and a scale for every 64."""

    name: ClassVar[str] = "Q2_0"
    ggml_id: ClassVar[int] = 42
    block: ClassVar[int] = 64
    block_bytes: ClassVar[int] = 18

    @override
    def encode_kernel(
        self,
        weights: NDArray[np.float32],
        importance: NDArray[np.float32],
        out: NDArray[np.uint8],
    ) -> int:
        from app.encodings.kernels import few_levels

        return int(few_levels.encode_quarters(weights, importance, out))

    @override
    def decode_kernel(self, blocks: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
        from app.encodings.kernels import few_levels

        few_levels.decode_quarters(blocks, out)


class Q10(GgmlBlock):
    """Only the sign of a weight, and a scale for every 128."""

    name: ClassVar[str] = "Q1_0"
    ggml_id: ClassVar[int] = 41
    block: ClassVar[int] = 128
    block_bytes: ClassVar[int] = 18
    largest: ClassVar[float] = 65504.0

    @override
    def encode_kernel(
        self,
        weights: NDArray[np.float32],
        importance: NDArray[np.float32],
        out: NDArray[np.uint8],
    ) -> int:
        from app.encodings.kernels import few_levels

        return int(few_levels.encode_signs(weights, importance, out))

    @override
    def decode_kernel(self, blocks: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
        from app.encodings.kernels import few_levels

        few_levels.decode_signs(blocks, out)

    @override
    def encode_torch(self, weight: Tensor, importance: Tensor | None) -> Tensor:
        from app.encodings.vectorised import few_levels

        return few_levels.encode_signs(weight, importance)

    @override
    def decode_torch(self, blocks: Tensor) -> Tensor:
        from app.encodings.vectorised import few_levels

        return few_levels.decode_signs(blocks)
