"""The contract every encoding keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

if TYPE_CHECKING:
    from torch import Tensor

#: Bytes per element of the safetensors dtypes.
DTYPE_BYTES = {
    "F64": 8, "I64": 8, "U64": 8,
    "F32": 4, "I32": 4, "U32": 4,
    "F16": 2, "BF16": 2, "I16": 2, "U16": 2,
    "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "I8": 1, "U8": 1, "BOOL": 1,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Part:
    """One stored array: what it is called, its shape and its safetensors dtype."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def nbytes(self) -> int:
        """Bytes on disk."""
        return prod(self.shape) * DTYPE_BYTES[self.dtype]


class EncodeError(ValueError):
    """A weight cannot be stored. The message goes on after "The tensor x": "contains ..."."""


class NotFinite(EncodeError):
    """There are NaN or infinite weights."""

    def __init__(self) -> None:
        super().__init__("contains values that are not numbers (NaN or infinity)")


class Overflow(EncodeError):
    """A weight or a scale is beyond the largest number that the encoding can store."""

    def __init__(self, largest: float, limit: float) -> None:
        super().__init__(f"contains {largest:.3g}, and the largest value here is {limit:.3g}")


class Encoding(ABC):
    """How a weight is laid down as bytes. Importing one costs nothing; computing imports torch."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What plans and reports call it: "Q4_K". It tells every parameter."""

    @abstractmethod
    def layout(self, shape: tuple[int, ...]) -> tuple[Part, ...]:
        """The parts that a weight of `shape` (..., in) becomes; no tensor is touched.

        Raises:
            ValueError: This encoding cannot hold that shape.
        """

    @abstractmethod
    def encode(self, weight: Tensor, importance: Tensor | None = None) -> dict[str, Tensor]:
        """Store `weight` (..., in), float32 on any device, as nearly as this encoding can.

        Args:
            weight: The numbers.
            importance: How much a squared error in each column counts: (in,), float32, not
                negative, on the weight's device. None: all columns count alike. Encodings
                without a choice to make do not look at it.

        Returns:
            Tensor by part name, on the weight's device, of the shapes that `layout` promises.
        """

    @abstractmethod
    def decode(self, parts: dict[str, Tensor], shape: tuple[int, ...]) -> Tensor:
        """Rebuild the float32 weight of `shape` that an inference engine would see."""

    def rounded(self, weight: Tensor, importance: Tensor | None = None) -> Tensor:
        """What `decode` makes of what `encode` does."""
        return self.decode(self.encode(weight, importance), tuple(weight.shape))

    def nbytes(self, shape: tuple[int, ...]) -> int:
        """Bytes on disk of a weight of `shape`."""
        return sum(part.nbytes for part in self.layout(shape))


class Block(Encoding):
    """An encoding of GGUF files: a row is cut into blocks, each a small struct of bytes.

    The single part is called "blocks": uint8, (..., bytes of a row).
    """

    ggml_id: ClassVar[int]
    """Number of the type in GGUF files."""
    block: ClassVar[int]
    """Weights a block."""
    block_bytes: ClassVar[int]
    """Bytes a block."""

    @property
    def bits(self) -> float:
        """Bits a weight."""
        return 8 * self.block_bytes / self.block

    def fits(self, row: int) -> bool:
        """Whether rows of `row` weights divide into blocks."""
        return row % self.block == 0

    @override
    def layout(self, shape: tuple[int, ...]) -> tuple[Part, ...]:
        if not shape or not self.fits(shape[-1]):
            raise ValueError(f"{self.name} needs rows that divide by {self.block}, not {shape}")
        return (Part("blocks", (*shape[:-1], shape[-1] // self.block * self.block_bytes), "U8"),)
