"""IQ4_NL and IQ4_XS: 4 bits that choose from a codebook of 16 uneven values."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from app.encodings.ggml_block import GgmlBlock

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


class _Codebook4(GgmlBlock):
    """Blocks of one or of 8 scales."""

    @property
    @abstractmethod
    def subs(self) -> int:
        """Sub-blocks a block."""

    @override
    def encode_kernel(
        self,
        weights: NDArray[np.float32],
        importance: NDArray[np.float32],
        out: NDArray[np.uint8],
    ) -> int:
        from app.encodings.kernels import iq4

        return int(iq4.encode(weights, importance, self.subs, out))

    @override
    def decode_kernel(self, blocks: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
        from app.encodings.kernels import iq4

        iq4.decode(blocks, self.subs, out)

    @override
    def encode_torch(self, weight: Tensor, importance: Tensor | None) -> Tensor:
        from app.encodings.vectorised import iq4

        return iq4.encode(weight, importance, self.subs)

    @override
    def decode_torch(self, blocks: Tensor) -> Tensor:
        from app.encodings.vectorised import iq4

        return iq4.decode(blocks, self.subs)


class IQ4NL(_Codebook4):
    """Nearer than Q4_0 at its size, for rows that do not divide by 256."""

    name: ClassVar[str] = "IQ4_NL"
    ggml_id: ClassVar[int] = 20
    block: ClassVar[int] = 32
    block_bytes: ClassVar[int] = 18
    largest: ClassVar[float] = 127 * 65504.0
    subs = 1


class IQ4XS(_Codebook4):
    """A little further off than Q4_K, with a quarter of a bit less."""

    name: ClassVar[str] = "IQ4_XS"
    ggml_id: ClassVar[int] = 23
    block: ClassVar[int] = 256
    block_bytes: ClassVar[int] = 136
    largest: ClassVar[float] = 32 * 127 * 65504.0
    subs = 8
