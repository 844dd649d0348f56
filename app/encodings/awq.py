"""Integers in the "gemm" layout of AutoAWQ, on their side.

    X.qweight  I32 (in, out / 8)       4-bit codes
    X.qzeros   I32 (groups, out / 8)   4-bit zero points
    X.scales   F16 (groups, out)

The 8 codes in a word, counted from its lowest bits, belong to the columns ORDER of eight.

Lin et al., "AWQ", MLSys 2024, arXiv:2306.00978.
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

ORDER = (0, 2, 4, 6, 1, 3, 5, 7)


@dataclass(frozen=True, slots=True)
class Awq(Affine):
    """4 bits a weight, with a scale for each group."""

    scales: str = "F16"

    prefix: ClassVar[str] = "awq"

    @classmethod
    @override
    def variants(cls) -> Iterator[Self]:
        for found in product((4,), (32, 64, 128, 0), (True, False)):
            yield cls(*found)

    @override
    def layout(self, shape: tuple[int, ...]) -> tuple[Part, ...]:
        rows, columns = self.matrix(shape, (8, self.group or 1))
        groups = columns // self.columns_a_group(shape)
        return (
            Part("qweight", (columns, rows // 8), "I32"),
            Part("qzeros", (groups, rows // 8), "I32"),
            Part("scales", (groups, rows), "F16"),
        )

    @override
    def _stored(self, codes: Tensor, scale: Tensor, zero: Tensor) -> dict[str, Tensor]:
        import torch

        return {
            "qweight": _pack_shuffled(codes.t()),
            "qzeros": _pack_shuffled(zero.t().to(torch.uint8)),
            "scales": scale.t().to(torch.float16).contiguous(),
        }

    @override
    def unpack(
        self, parts: dict[str, Tensor], shape: tuple[int, ...]
    ) -> tuple[Tensor, Tensor, Tensor]:
        import torch

        codes = unpack_shuffled(parts["qweight"]).t().contiguous()
        points = unpack_shuffled(parts["qzeros"]).t().to(torch.float32)
        return codes, parts["scales"].t().to(torch.float32), points


def unpack_shuffled(words: Tensor) -> Tensor:
    """(rows, words) to (rows, 8 * words): the codes in the order of their columns."""
    import torch

    place = torch.tensor(ORDER, device=words.device).argsort()
    return unpack(words, 4).view(len(words), -1, 8)[..., place].flatten(1)


def _pack_shuffled(codes: Tensor) -> Tensor:
    """Inverse of `unpack_shuffled`."""
    import torch

    order = torch.tensor(ORDER, device=codes.device)
    return pack(codes.reshape(len(codes), -1, 8)[..., order].flatten(1), 4)
