"""Integers as MLX, Apple's array library, stores them: code * scale + bias.

X.weight  U32 (out, in * bits / 32)   codes, one stream of bits in each row
X.scales  BF16 (out, groups)          may be negative
X.biases  BF16 (out, groups)
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
from app.encodings.packing import pack, unpack

if TYPE_CHECKING:
    from torch import Tensor

#: The smallest scale as a share of a group's largest weight; less is beyond float32's precision.
_FINEST = 2.0**-22


@dataclass(frozen=True, slots=True)
class Mlx(Affine):
    """2 to 8 bits a weight; the zero point, -bias / scale, is any number."""

    group: int = 64
    symmetric: bool = False

    prefix: ClassVar[str] = "mlx"
    whole_zero: ClassVar[bool] = False

    @classmethod
    @override
    def variants(cls) -> Iterator[Self]:
        for bits, group, scales in product(
            (2, 3, 4, 5, 6, 8), (32, 64, 128), ("BF16", "F16", "F32")
        ):
            yield cls(bits, group, scales=scales)

    @override
    def layout(self, shape: tuple[int, ...]) -> tuple[Part, ...]:
        rows, columns = self.matrix(shape, (1, self.group))
        groups = columns // self.group
        return (
            Part("weight", (rows, columns * self.bits // 32), "U32"),
            Part("scales", (rows, groups), self.scales),
            Part("biases", (rows, groups), self.scales),
        )

    @override
    def _stored(self, codes: Tensor, scale: Tensor, zero: Tensor) -> dict[str, Tensor]:
        import torch

        dtype = torch_dtype(self.scales)
        return {
            "weight": pack(codes, self.bits).view(torch.uint32),
            "scales": scale.to(dtype),
            "biases": (-zero * scale).to(dtype),
        }

    @override
    def unpack(
        self, parts: dict[str, Tensor], shape: tuple[int, ...]
    ) -> tuple[Tensor, Tensor, Tensor]:
        import torch

        scale, bias = (parts[name].to(torch.float32) for name in ("scales", "biases"))
        return unpack(parts["weight"], self.bits), scale, -bias / scale

    @override
    def _span(self, low: Tensor, high: Tensor, clip: float) -> tuple[Tensor, Tensor]:
        """As MLX does: one end of the grid is the larger extreme, and 0 is a point where it can be.

        A smaller share of the span keeps its middle.
        """
        import torch

        cut = (1 - clip) / 2 * (high - low)
        low, high = low + cut, high - cut
        below = low.abs() > high.abs()
        finest = torch.maximum(low.abs(), high.abs()) * _FINEST
        scale = torch.maximum((high - low) / (2**self.bits - 1), finest)
        scale = torch.where(below, scale, -scale)
        edge = torch.where(below, low, high)
        steps = (edge / scale).nan_to_num(0).round()
        near = steps == 0
        scale = self._as_stored(torch.where(near, scale, edge / steps))
        bias = torch.where(near, 0.0, edge).to(torch_dtype(self.scales)).to(torch.float32)
        return scale, -bias / scale

    @override
    def _places(self, grouped: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
        # The bias is subtracted first: far from 0, a zero point is too large for what is behind its
        # point.
        return (grouped + zero * scale).div_(scale)

    @override
    def _codes(self, grouped: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
        return self._places(grouped, scale, zero).round_().clamp_(0, 2**self.bits - 1)

    @override
    def _values(self, codes: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
        return (codes * scale).sub_(zero * scale)
