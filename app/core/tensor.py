"""A tensor's description: everything about it but its numbers."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor of a checkpoint."""

    name: str
    shape: tuple[int, ...]
    """Row-major, outermost dimension first: a linear layer's weight is (out, in)."""
    dtype: str
    """A safetensors dtype ("BF16") or, in a GGUF file, the name of an encoding ("Q4_K")."""
    nbytes: int
    """Bytes in the file."""

    @property
    def weights(self) -> int:
        """Number of elements."""
        return prod(self.shape)
