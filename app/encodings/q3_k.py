"""Q3_K: 16 sub-blocks of 16 weights, each with a signed scale of 6 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from app.encodings.ggml_block import GgmlBlock

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


class Q3K(GgmlBlock):
    """3 bits a weight: clearly below the original, for memory that is very short."""

    name: ClassVar[str] = "Q3_K"
    ggml_id: ClassVar[int] = 11
    block: ClassVar[int] = 256
    block_bytes: ClassVar[int] = 110
    largest: ClassVar[float] = 4 * 32 * 65504.0

    @override
    def encode_kernel(
        self,
        weights: NDArray[np.float32],
        importance: NDArray[np.float32],
        out: NDArray[np.uint8],
    ) -> int:
        from app.encodings.kernels import q3_k
        from app.encodings.kernels.numbers import Q3_K, Q3_K_WEIGHED

        grid = Q3_K_WEIGHED if importance.size else Q3_K
        return int(q3_k.encode(weights, importance, grid, out))

    @override
    def decode_kernel(self, blocks: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
        from app.encodings.kernels import q3_k

        q3_k.decode(blocks, out)

    @override
    def encode_torch(self, weight: Tensor, importance: Tensor | None) -> Tensor:
        from app.encodings.vectorised import q3_k

        return q3_k.encode(weight, importance)

    @override
    def decode_torch(self, blocks: Tensor) -> Tensor:
        from app.encodings.vectorised import q3_k

        return q3_k.decode(blocks)
