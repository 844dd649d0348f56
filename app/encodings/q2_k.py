"""Q2_K: 16 sub-blocks of 16 weights, each with a scale and a minimum of 4 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from app.encodings.ggml_block import GgmlBlock

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


class Q2K(GgmlBlock):
    """2 bits a weight and as much again in scales: only where nothing larger fits."""

    name: ClassVar[str] = "Q2_K"
    ggml_id: ClassVar[int] = 10
    block: ClassVar[int] = 256
    block_bytes: ClassVar[int] = 84
    largest: ClassVar[float] = 15 * 65504.0

    @override
    def encode_kernel(
        self,
        weights: NDArray[np.float32],
        importance: NDArray[np.float32],
        out: NDArray[np.uint8],
    ) -> int:
        from app.encodings.kernels import q2_k
        from app.encodings.kernels.numbers import Q2_K

        return int(q2_k.encode(weights, importance, Q2_K, out))

    @override
    def decode_kernel(self, blocks: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
        from app.encodings.kernels import q2_k

        q2_k.decode(blocks, out)

    @override
    def encode_torch(self, weight: Tensor, importance: Tensor | None) -> Tensor:
        from app.encodings.vectorised import q2_k

        return q2_k.encode(weight, importance)

    @override
    def decode_torch(self, blocks: Tensor) -> Tensor:
        from app.encodings.vectorised import q2_k

        return q2_k.decode(blocks)
