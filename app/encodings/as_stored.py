"""Numbers of a safetensors type, each by itself: masks, positions, and other small things."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import override

from app.encodings.base import Encoding, Part
from app.encodings.dtypes import torch_dtype

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class AsStored(Encoding):
    """For what a source holds besides floats of 32 and 16 bits, which are copied unchanged."""

    dtype: str

    @property
    @override
    def name(self) -> str:
        return self.dtype

    @override
    def layout(self, shape: tuple[int, ...]) -> tuple[Part, ...]:
        return (Part("numbers", shape, self.dtype),)

    @override
    def encode(self, weight: Tensor, importance: Tensor | None = None) -> dict[str, Tensor]:
        return {"numbers": weight.to(torch_dtype(self.dtype))}

    @override
    def decode(self, parts: dict[str, Tensor], shape: tuple[int, ...]) -> Tensor:
        return parts["numbers"].float().view(shape)
