"""Q6_K: 16 sub-blocks of 16 weights, each with a signed scale of 8 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from app.encodings.ggml_block import GgmlBlock

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


class Q6K(GgmlBlock):
    """6 bits a weight: close to the original, for the tensors that matter most."""

    name: ClassVar[str] = "Q6_K"
    ggml_id: ClassVar[int] = 14
    block: ClassVar[int] = 256
    block_bytes: ClassVar[int] = 210
    largest: ClassVar[float] = 32 * 128 * 65504.0

    @override
    def encode_kernel(
        self,
        weights: NDArray[np.float32],
        importance: NDArray[np.float32],
        out: NDArray[np.uint8],
    ) -> int:
        from app.encodings.kernels import q6_k
        from app.encodings.kernels.numbers import Q6_K, Q6_K_WEIGHED

        grid = Q6_K_WEIGHED if importance.size else Q6_K
        return int(q6_k.encode(weights, importance, grid, out))

    @override
    def decode_kernel(self, blocks: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
        from app.encodings.kernels import q6_k

        q6_k.decode(blocks, out)

    @override
    def encode_torch(self, weight: Tensor, importance: Tensor | None) -> Tensor:
        from app.encodings.vectorised import q6_k

        return q6_k.encode(weight, importance)

    @override
    def decode_torch(self, blocks: Tensor) -> Tensor:
        from app.encodings.vectorised import q6_k

        return q6_k.decode(blocks)
