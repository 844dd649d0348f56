"""Integers of a byte each, as compressed-tensors stores them for integer arithmetic.

    X.weight             I8 (out, in)      codes less 2^(bits - 1)
    X.weight_scale       BF16 (out, groups)
    X.weight_zero_point  I8 (out, groups)  asymmetric grids only

8 bits a row is what runtimes multiply with 8-bit activations ("int-quantized"); groups, and 4 bits
that take a byte each, can be read as weights only ("naive-quantized").
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, ClassVar, Self

from typing_extensions import override

from app.encodings.affine import Affine
from app.encodings.base import Part
from app.encodings.dtypes import torch_dtype

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class PlainInt(Affine):
    """A byte a weight, with a scale for each group or row."""

    prefix: ClassVar[str] = "int"

    @classmethod
    @override
    def variants(cls) -> Iterator[Self]:
        for found in product((4, 8), (32, 64, 128, 0), (True, False), ("BF16", "F16", "F32")):
            yield cls(*found)

    @override
    def layout(self, shape: tuple[int, ...]) -> tuple[Part, ...]:
        rows, columns = self.matrix(shape, (1, self.group or 1))
        groups = columns // self.columns_a_group(shape)
        zero = Part("weight_zero_point", (rows, groups), "I8")
        return (
            Part("weight", (rows, columns), "I8"),
            Part("weight_scale", (rows, groups), self.scales),
            *(() if self.symmetric else (zero,)),
        )

    @override
    def _stored(self, codes: Tensor, scale: Tensor, zero: Tensor) -> dict[str, Tensor]:
        import torch

        half = 2 ** (self.bits - 1)
        # Bytes wrap around: 0 less 128 is the byte of -128.
        parts = {
            "weight": (codes - half).view(torch.int8),
            "weight_scale": scale.to(torch_dtype(self.scales)),
        }
        if not self.symmetric:
            parts["weight_zero_point"] = (zero - half).to(torch.int8)
        return parts

    @override
    def unpack(
        self, parts: dict[str, Tensor], shape: tuple[int, ...]
    ) -> tuple[Tensor, Tensor, Tensor]:
        import torch

        half = 2 ** (self.bits - 1)
        codes = parts["weight"].view(torch.uint8) + half
        scale = parts["weight_scale"].to(torch.float32)
        if self.symmetric:
            return codes, scale, torch.full_like(scale, half)
        return codes, scale, parts["weight_zero_point"].to(torch.float32) + half
