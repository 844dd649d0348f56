"""Q8_0: 32 signed bytes and a scale."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from app.encodings.ggml_block import GgmlBlock

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


class Q80(GgmlBlock):
    """8 bits a weight; hardly to be told from the original."""

    name: ClassVar[str] = "Q8_0"
    ggml_id: ClassVar[int] = 8
    block: ClassVar[int] = 32
    block_bytes: ClassVar[int] = 34
    largest: ClassVar[float] = 127 * 65504.0

    @override
    def encode_kernel(
        self,
        weights: NDArray[np.float32],
        importance: NDArray[np.float32],
        out: NDArray[np.uint8],
    ) -> int:
        from app.encodings.kernels import small_blocks

        return int(small_blocks.encode_bytes(weights, self.block, out))

    @override
    def decode_kernel(self, blocks: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
        from app.encodings.kernels import small_blocks

        small_blocks.decode_bytes(blocks, out)

    @override
    def encode_torch(self, weight: Tensor, importance: Tensor | None) -> Tensor:
        from app.encodings.vectorised import small_blocks

        return small_blocks.encode_bytes(weight)

    @override
    def decode_torch(self, blocks: Tensor) -> Tensor:
        from app.encodings.vectorised import small_blocks

        return small_blocks.decode_bytes(blocks)
