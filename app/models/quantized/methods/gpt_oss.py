"""MXFP4 as OpenAI published gpt-oss in it: the experts of a layer in one tensor.

    X_blocks  U8 (experts, out, groups, 16)   4-bit floats, the low half of a byte first
    X_scales  U8 (experts, out, groups)       exponents: 127 stands for 1

The plain weight X lies on its side, (experts, in, out), as transformers keeps it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from app.encodings.packing import floats, four_bit_floats, nibbles
from app.models.base import Checkpoint
from app.models.quantized.base import Method, QuantizedWeight, expect, part

if TYPE_CHECKING:
    from torch import Tensor

_CODES = "_blocks"
_GROUP = 32


@dataclass(frozen=True, slots=True)
class Experts(QuantizedWeight):
    """4-bit floats times powers of two, on their side."""

    codes: str
    scales: str

    @override
    def rows(self, stored: Checkpoint, start: int, stop: int) -> Tensor:
        import torch

        found = torch.empty(stop - start, self.shape[-1])
        inputs = self.shape[1]
        row = start
        while row < stop:
            expert, first = divmod(row, inputs)
            last = min(inputs, first + stop - row)
            piece = self._columns(stored, expert, first, last)
            found[row - start : row - start + last - first] = piece.t()
            row += last - first
        return found

    def _columns(self, stored: Checkpoint, expert: int, first: int, last: int) -> Tensor:
        """Columns of one expert's weight as it is stored: (out, last - first)."""
        _, inputs, outputs = self.shape
        groups = inputs // _GROUP
        begin, end = first // _GROUP, -(-last // _GROUP)
        rows = stored.rows(self.codes, expert * outputs * groups, (expert + 1) * outputs * groups)
        codes = rows.view(outputs, groups, -1)[:, begin:end].reshape(-1, _GROUP // 2)
        exponents = stored.rows(self.scales, expert * outputs, (expert + 1) * outputs)
        scale = floats(exponents[:, begin:end].contiguous())
        values = four_bit_floats(nibbles(codes)).mul_(scale.view(-1, 1))
        return values.view(outputs, -1)[:, first - begin * _GROUP : last - begin * _GROUP]


class GptOss(Method):
    """4-bit floats with an exponent for each 32."""

    name: ClassVar[str] = "MXFP4"
    config_names: ClassVar[tuple[str, ...]] = ("mxfp4",)
    signs: ClassVar[tuple[str, ...]] = ("_proj_blocks",)
    native: ClassVar[bool] = True

    @override
    def weights(
        self, stored: Checkpoint, settings: Mapping[str, Any]
    ) -> Iterator[tuple[str, QuantizedWeight]]:
        for name in stored.tensors:
            if name.endswith(_CODES):
                weight = name.removesuffix(_CODES)
                yield weight, _experts(stored, name, f"{weight}_scales")


def _experts(stored: Checkpoint, blocks: str, exponents: str) -> Experts:
    codes, scales = part(stored, blocks, "U8"), part(stored, exponents, "U8")
    expect(len(codes.shape) == 4 and codes.shape[3] == _GROUP // 2, codes)
    expect(scales.shape == codes.shape[:3], scales)
    experts, outputs, groups, _ = codes.shape
    return Experts((experts, groups * _GROUP, outputs), (blocks, exponents), blocks, exponents)
