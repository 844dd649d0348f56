"""Integers as AutoGPTQ and GPTQModel store them, on their side.

    X.qweight  I32 (in * bits / 32, out)       codes, packed along in
    X.qzeros   I32 (groups, out * bits / 32)   zero points, packed along out
    X.scales   F16 (groups, out)
    X.g_idx    I32 (in)                        each column's group

The first version stores zero points less one, so that there they count from 1: a stored 15 is read
as 16, never as 0. The second version stores them as they are.

Frantar et al., "GPTQ", ICLR 2023, arXiv:2210.17323.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, ClassVar, Self

from typing_extensions import override

from app.encodings.affine import Affine
from app.encodings.base import Part
from app.encodings.packing import pack, unpack

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Gptq(Affine):
    """2, 3, 4 or 8 bits a weight in the layout that most programs read ("gptq")."""

    scales: str = "F16"

    prefix: ClassVar[str] = "gptq"
    lowest_zero: ClassVar[int] = 1

    @classmethod
    @override
    def variants(cls) -> Iterator[Self]:
        for found in product((2, 3, 4, 8), (32, 64, 128, 256, 0), (True, False)):
            yield cls(*found)

    @override
    def layout(self, shape: tuple[int, ...]) -> tuple[Part, ...]:
        whole = 32 if self.bits == 3 else 32 // self.bits  # codes that end where a word does
        length = max(self.group, whole)
        rows, columns = self.matrix(shape, (whole, length))
        groups = columns // self.columns_a_group(shape)
        return (
            Part("qweight", (columns * self.bits // 32, rows), "I32"),
            Part("qzeros", (groups, rows * self.bits // 32), "I32"),
            Part("scales", (groups, rows), "F16"),
            Part("g_idx", (columns,), "I32"),
        )

    @override
    def _stored(self, codes: Tensor, scale: Tensor, zero: Tensor) -> dict[str, Tensor]:
        import torch

        length = self.columns_a_group(tuple(codes.shape))
        points = (zero - self.lowest_zero).t().to(torch.uint8)  # (groups, out)
        group = torch.arange(codes.shape[1], device=codes.device) // length
        return {
            "qweight": pack(codes, self.bits).t().contiguous(),
            "qzeros": pack(points, self.bits),
            "scales": scale.t().to(torch.float16).contiguous(),
            "g_idx": group.to(torch.int32),
        }

    @override
    def unpack(
        self, parts: dict[str, Tensor], shape: tuple[int, ...]
    ) -> tuple[Tensor, Tensor, Tensor]:
        import torch

        codes = unpack(parts["qweight"].t().contiguous(), self.bits)
        points = unpack(parts["qzeros"], self.bits).t().to(torch.float32)
        scale = parts["scales"].t().to(torch.float32)
        return codes, scale, points + self.lowest_zero


@dataclass(frozen=True, slots=True)
class Gptq2(Gptq):
    """The second version ("gptq_v2"), whose zero points may be 0."""

    prefix: ClassVar[str] = "gptq2"
    lowest_zero: ClassVar[int] = 0
