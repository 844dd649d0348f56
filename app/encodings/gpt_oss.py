"""MXFP4 as OpenAI publishes gpt-oss in it: the experts of a layer in one tensor.

    X_blocks  U8 (experts, out, in / 32, 16)   E2M1, the low half of a byte first
    X_scales  U8 (experts, out, in / 32)       exponents of two: 127 stands for 1

The plain weight X lies on its side, (experts, in, out), as transformers keeps it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import override

from app.encodings.base import Part
from app.encodings.extremes import largest_of
from app.encodings.folder import FolderEncoding, in_slices
from app.encodings.microscaled import four_bits_microscaled
from app.encodings.packing import floats, four_bit_floats, nibbles, pack_nibbles

if TYPE_CHECKING:
    from torch import Tensor

_GROUP = 32


@dataclass(frozen=True, slots=True)
class GptOss(FolderEncoding):
    """The experts' weights of gpt-oss, 4.25 bits each."""

    @property
    @override
    def name(self) -> str:
        return "mxfp4-experts"

    @override
    def tensor_name(self, weight: str, part: str) -> str:
        return f"{weight}_{part}"

    @override
    def layout(self, shape: tuple[int, ...]) -> tuple[Part, ...]:
        if len(shape) != 3 or not all(shape) or shape[1] % _GROUP:
            raise ValueError(f"{self.name} holds (experts, multiple of 32, out), not {shape}")
        experts, inputs, outputs = shape
        groups = (experts, outputs, inputs // _GROUP)
        return Part("blocks", (*groups, _GROUP // 2), "U8"), Part("scales", groups, "U8")

    @override
    def encode(self, weight: Tensor, importance: Tensor | None = None) -> dict[str, Tensor]:
        import torch

        del importance
        parts = self.layout(tuple(weight.shape))
        largest_of(weight)
        codes, scales = [], []
        for expert in weight:
            upright = expert.t()
            for rows in in_slices(upright):
                some, scale = four_bits_microscaled(upright[rows])
                codes.append(pack_nibbles(some))
                scales.append(scale)
        found = (torch.cat(codes), torch.cat(scales))
        return {part.name: one.view(part.shape) for part, one in zip(parts, found, strict=True)}

    @override
    def decode(self, parts: dict[str, Tensor], shape: tuple[int, ...]) -> Tensor:
        import torch

        codes = parts["blocks"]
        found = torch.empty(shape, dtype=torch.float32, device=codes.device)
        for expert, (some, scale) in enumerate(zip(codes, parts["scales"], strict=True)):
            values = four_bit_floats(nibbles(some.reshape(-1, _GROUP // 2)))
            values *= floats(scale.contiguous()).view(-1, 1)
            found[expert] = values.view(shape[2], shape[1]).t()
        return found
