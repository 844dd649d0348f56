"""The contract of the encodings that safetensors folders hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Self

from app.encodings.base import DTYPE_BYTES, Encoding, Part

if TYPE_CHECKING:
    from torch import Tensor

SLICE = 2**20
"""Weights at a time: temporaries take a few times as many floats."""

#: What float types are called at the end of an encoding's name.
DTYPE_NAMES = {"BF16": "bf16", "F16": "f16", "F32": "f32"}


class FolderEncoding(Encoding):
    """A linear layer's weight, (out, in), becomes a few tensors.

    Subclasses are frozen dataclasses: their fields are the parameters, all of which the name tells.
    """

    @classmethod
    def variants(cls) -> Iterator[Self]:
        """Each choice of parameters that some runtime loads; as it is, where it has none."""
        yield cls()

    def tensor_name(self, weight: str, part: str) -> str:
        """What a part of `weight` is called in the file: "...q_proj.qweight"."""
        return f"{weight.removesuffix('.weight')}.{part}"

    def matrix(self, shape: tuple[int, ...], unit: tuple[int, int] = (1, 1)) -> tuple[int, int]:
        """Rows and columns of a weight.

        Args:
            shape: The weight's shape.
            unit: What they must divide by.

        Raises:
            ValueError: It has not two dimensions, is empty, or does not divide.
        """
        if len(shape) != 2 or not all(shape):
            raise ValueError(f"{self.name} holds matrices, not {shape}")
        if shape[0] % unit[0] or shape[1] % unit[1]:
            raise ValueError(f"{self.name} needs multiples of {unit[0]} x {unit[1]}, not {shape}")
        return shape[0], shape[1]


def in_file_order(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """A weight's parts as they lie in a file: the widest numbers first, so that all are aligned."""
    return tuple(sorted(parts, key=lambda part: -DTYPE_BYTES[part.dtype]))


def in_slices(weight: Tensor, unit: int = 1) -> Iterator[slice]:
    """Slices of a matrix's rows, a multiple of `unit` each, so that temporaries stay small."""
    rows, columns = weight.shape
    step = max(1, SLICE // (columns * unit)) * unit
    for start in range(0, rows, step):
        yield slice(start, min(rows, start + step))
