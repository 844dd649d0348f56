"""4-bit floats in rows, two a byte, with a scale for each group and perhaps one for all.

NVFP4 has groups of 16 with FP8 scales and a float32 scale for the whole weight; MXFP4 has
groups of 32 whose scales are powers of two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import override

from app.core.tensor import TensorInfo
from app.encodings.packing import floats, four_bit_floats, nibbles
from app.models.base import Checkpoint
from app.models.quantized.base import QuantizedWeight, expect, part

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Fp4(QuantizedWeight):
    """A 4-bit float times its group's scale, times or divided by the scale of all."""

    codes: str
    scale: str
    of_all: str = ""
    divided: bool = False
    """Whether the scale of all divides."""

    @classmethod
    def of(
        cls, stored: Checkpoint, codes: TensorInfo, scale: str, of_all: str = "", *, divided: bool
    ) -> Fp4:
        """The weight in `codes`: bytes, or words of 32 bits, of two or more dimensions.

        Raises:
            BadModelFile: A tensor is missing or does not fit.
        """
        groups = part(stored, scale, "F8_E4M3", "U8", "F8_E8M0")
        expect(len(codes.shape) > 1, codes)
        row = codes.shape[-1] * (8 if codes.dtype in {"U32", "I32"} else 2)
        fits = groups.shape[:-1] == codes.shape[:-1] and groups.shape[-1] > 0
        expect(fits and row == groups.shape[-1] * (16 if groups.dtype == "F8_E4M3" else 32), groups)
        parts: tuple[str, ...] = (codes.name, scale)
        if of_all:
            whole = part(stored, of_all, "F32", "BF16", "F16")
            expect(whole.weights in {1, codes.shape[0]}, whole)
            expect(whole.weights == 1 or len(codes.shape) > 2, whole)
            parts += (of_all,)
        return cls((*codes.shape[:-1], row), parts, codes.name, scale, of_all, divided)

    @override
    def rows(self, stored: Checkpoint, start: int, stop: int) -> Tensor:
        import torch

        found = four_bit_floats(nibbles(stored.rows(self.codes, start, stop)))
        scale = floats(stored.rows(self.scale, start, stop))
        if self.of_all:
            whole = stored.rows(self.of_all).flatten().to(torch.float32)
            if len(whole) > 1:  # one for each expert
                rows = stored.tensors[self.codes].weights // stored.tensors[self.codes].shape[-1]
                whole = whole[torch.arange(start, stop) // (rows // len(whole)), None]
            scale = scale / whole if self.divided else scale * whole
        grouped = found.view(*scale.shape, -1)  # (rows, groups, 16 or 32)
        return grouped.mul_(scale[..., None]).flatten(1)
