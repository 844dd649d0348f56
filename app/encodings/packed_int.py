"""Integers as compressed-tensors packs them, the format of LLM Compressor and vLLM.

    X.weight_packed      I32 (out, in * bits / 32)      codes, one stream of bits in each row
    X.weight_scale       BF16 (out, groups)
    X.weight_zero_point  I32 (out * bits / 32, groups)  packed along out; asymmetric grids only
    X.weight_shape       I64 (2)

Codes and zero points are stored with 2^(bits - 1) added, which is how they are counted here.
Only 4 and 8 bits: versions of the library disagree about codes that cross the ends of words.
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
from app.encodings.packing import pack, unpack, words_for

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class PackedInt(Affine):
    """4 or 8 bits a weight, with a scale for each group or row."""

    prefix: ClassVar[str] = "packed"

    @classmethod
    @override
    def variants(cls) -> Iterator[Self]:
        for found in product((4, 8), (32, 64, 128, 0), (True, False), ("BF16", "F16", "F32")):
            yield cls(*found)

    @override
    def layout(self, shape: tuple[int, ...]) -> tuple[Part, ...]:
        rows, columns = self.matrix(shape, (1, self.group or 1))
        groups = columns // self.columns_a_group(shape)
        zero = Part("weight_zero_point", (words_for(rows, self.bits), groups), "I32")
        return (
            Part("weight_packed", (rows, words_for(columns, self.bits)), "I32"),
            Part("weight_scale", (rows, groups), self.scales),
            *(() if self.symmetric else (zero,)),
            Part("weight_shape", (2,), "I64"),
        )

    @override
    def _stored(self, codes: Tensor, scale: Tensor, zero: Tensor) -> dict[str, Tensor]:
        import torch

        parts = {
            "weight_packed": pack(codes, self.bits),
            "weight_scale": scale.to(torch_dtype(self.scales)),
            "weight_shape": torch.tensor(codes.shape, dtype=torch.int64, device=codes.device),
        }
        if not self.symmetric:
            points = pack(zero.t().to(torch.uint8), self.bits)  # (groups, words)
            parts["weight_zero_point"] = points.t().clone(memory_format=torch.contiguous_format)
        return parts

    @override
    def unpack(
        self, parts: dict[str, Tensor], shape: tuple[int, ...]
    ) -> tuple[Tensor, Tensor, Tensor]:
        import torch

        codes = unpack(parts["weight_packed"], self.bits)[:, : shape[1]]
        scale = parts["weight_scale"].to(torch.float32)
        if self.symmetric:
            return codes, scale, torch.full_like(scale, 2 ** (self.bits - 1))
        points = unpack(parts["weight_zero_point"].t().contiguous(), self.bits)[:, : shape[0]]
        return codes, scale, points.t().to(torch.float32)
