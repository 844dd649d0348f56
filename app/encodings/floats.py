"""F32, F16 and BF16: a number is stored by itself, in the machine's own formats."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from app.encodings.base import Block, Overflow
from app.encodings.extremes import largest_of

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class _Float(Block):
    """A block is one number."""

    block: ClassVar[int] = 1
    largest: ClassVar[float]
    """The largest number of the type."""
    overflow: ClassVar[float]
    """The smallest magnitude that would be rounded to infinity."""

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """The type in torch."""

    @override
    def encode(self, weight: Tensor, importance: Tensor | None = None) -> dict[str, Tensor]:
        """Store `weight`; see the base class.

        Raises:
            NotFinite: A weight is NaN or infinite.
            Overflow: A weight is beyond the type's range.
        """
        import torch

        del importance  # rounding a number by itself leaves no choice
        (part,) = self.layout(tuple(weight.shape))
        top = largest_of(weight)
        if top >= self.overflow:
            raise Overflow(top, self.largest)
        blocks = weight.detach().to(self.dtype).contiguous().view(torch.uint8)
        return {part.name: blocks}

    @override
    def decode(self, parts: dict[str, Tensor], shape: tuple[int, ...]) -> Tensor:
        return parts["blocks"].contiguous().view(self.dtype).float().view(shape)


class F32(_Float):
    """Single precision: exact, and four bytes a weight."""

    name: ClassVar[str] = "F32"
    ggml_id: ClassVar[int] = 0
    block_bytes: ClassVar[int] = 4
    largest: ClassVar[float] = (2 - 2**-23) * 2.0**127
    overflow: ClassVar[float] = float("inf")

    @property
    @override
    def dtype(self) -> torch.dtype:
        import torch

        return torch.float32


class F16(_Float):
    """Half precision: 11 digits in binary, up to 65504."""

    name: ClassVar[str] = "F16"
    ggml_id: ClassVar[int] = 1
    block_bytes: ClassVar[int] = 2
    largest: ClassVar[float] = 65504.0
    overflow: ClassVar[float] = 65520.0

    @property
    @override
    def dtype(self) -> torch.dtype:
        import torch

        return torch.float16


class BF16(_Float):
    """Single precision's range with 8 digits in binary; what most models are trained in."""

    name: ClassVar[str] = "BF16"
    ggml_id: ClassVar[int] = 30
    block_bytes: ClassVar[int] = 2
    largest: ClassVar[float] = (2 - 2**-7) * 2.0**127
    overflow: ClassVar[float] = (2 - 2**-8) * 2.0**127

    @property
    @override
    def dtype(self) -> torch.dtype:
        import torch

        return torch.bfloat16
