"""IQ1_S and IQ1_M: eight weights a point of a grid of ternary codes, below two bits a weight."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from app.encodings.ggml_block import GgmlBlock
from app.encodings.grids import IQ1

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


@cache
def _levels() -> NDArray[np.float32]:
    """The coordinates of all points, flat."""
    import numpy as np

    return np.array(IQ1.values, np.float32)[IQ1.levels()].ravel()


class _TernaryGrid(GgmlBlock):
    """Super-blocks of 256."""

    block: ClassVar[int] = 256
    largest: ClassVar[float] = 15 * 65504.0
    sub: ClassVar[int]
    """Weights a scale."""

    @override
    def encode_kernel(
        self,
        weights: NDArray[np.float32],
        importance: NDArray[np.float32],
        out: NDArray[np.uint8],
    ) -> int:
        from app.encodings.kernels import iq1
        from app.encodings.kernels.iq1_cells import cells

        return int(iq1.encode(weights, importance, self.sub, cells(), out))

    @override
    def encode_torch(self, weight: Tensor, importance: Tensor | None) -> Tensor:
        from app.encodings.vectorised import iq1

        return iq1.encode(weight, importance, self.sub)


class IQ1S(_TernaryGrid):
    """1.6 bits a weight: for models that fit in no other way; it needs importances."""

    name: ClassVar[str] = "IQ1_S"
    ggml_id: ClassVar[int] = 19
    block_bytes: ClassVar[int] = 50
    sub = 32

    @override
    def decode_kernel(self, blocks: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
        from app.encodings.kernels import iq1

        iq1.decode_s(blocks, _levels(), out)

    @override
    def decode_torch(self, blocks: Tensor) -> Tensor:
        from app.encodings.vectorised import iq1

        return iq1.decode_s(blocks)


class IQ1M(_TernaryGrid):
    """1.75 bits a weight: a little better than IQ1_S; importances help it much."""

    name: ClassVar[str] = "IQ1_M"
    ggml_id: ClassVar[int] = 29
    block_bytes: ClassVar[int] = 56
    sub = 16

    @override
    def decode_kernel(self, blocks: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
        from app.encodings.kernels import iq1

        iq1.decode_m(blocks, _levels(), out)

    @override
    def decode_torch(self, blocks: Tensor) -> Tensor:
        from app.encodings.vectorised import iq1

        return iq1.decode_m(blocks)
