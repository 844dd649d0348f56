"""AWQ in the "gemm" layout of AutoAWQ.

    X.qweight  I32 (in, out / 8)       4-bit codes
    X.qzeros   I32 (groups, out / 8)   4-bit zero points
    X.scales   F16 (groups, out)

The order of codes in a word is that of `app.encodings.awq`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from app.encodings.awq import unpack_shuffled
from app.models.base import Checkpoint
from app.models.config import text, whole_number
from app.models.quantized.base import Method, QuantizedWeight, expect, not_read, part
from app.models.quantized.groups import even_groups, scaled_groups

if TYPE_CHECKING:
    from torch import Tensor

_CODES = ".qweight"


@dataclass(frozen=True, slots=True)
class AwqWeight(QuantizedWeight):
    """(code - zero) * scale, stored on its side: a word holds codes of 8 rows of the weight."""

    codes: str
    zeros: str
    scales: str

    @override
    def rows(self, stored: Checkpoint, start: int, stop: int) -> Tensor:
        first, last = start // 8, -(-stop // 8)
        wanted = slice(start - 8 * first, stop - 8 * first)

        def unpacked(name: str) -> Tensor:
            words = stored.rows(name)[:, first:last].contiguous()
            return unpack_shuffled(words)[:, wanted].t()  # (rows, words' rows)

        scales = stored.rows(self.scales)[:, start:stop].t()  # (rows, groups)
        group = even_groups(self.shape[1], scales.shape[1])
        return scaled_groups(unpacked(self.codes), unpacked(self.zeros), scales, group)


class Awq(Method):
    """4-bit codes with a scale and a zero point for each group."""

    name: ClassVar[str] = "AWQ"
    config_names: ClassVar[tuple[str, ...]] = ("awq",)

    @override
    def weights(
        self, stored: Checkpoint, settings: Mapping[str, Any]
    ) -> Iterator[tuple[str, QuantizedWeight]]:
        layout = text(settings, "version", text(settings, "checkpoint_format", "gemm")).lower()
        bits = whole_number(settings, "bits", whole_number(settings, "w_bit", 4))
        if layout != "gemm":
            raise not_read(f"AWQ in the {layout} layout")
        if bits != 4:
            raise not_read(f"AWQ to {bits} bits")
        for name in stored.tensors:
            if name.endswith(_CODES):
                stem = name.removesuffix(_CODES)
                yield f"{stem}.weight", _weight(stored, stem)


def _weight(stored: Checkpoint, stem: str) -> AwqWeight:
    codes = part(stored, stem + _CODES, "I32")
    zeros = part(stored, f"{stem}.qzeros", "I32")
    scales = part(stored, f"{stem}.scales", "F16", "BF16", "F32")
    expect(len(codes.shape) == 2, codes)
    columns, rows = codes.shape[0], 8 * codes.shape[1]
    expect(len(scales.shape) == 2 and scales.shape[1] == rows, scales)
    groups = scales.shape[0]
    expect(groups > 0 and columns % groups == 0, scales)
    expect(zeros.shape == (groups, codes.shape[1]), zeros)
    parts = (codes.name, zeros.name, scales.name)
    return AwqWeight((rows, columns), parts, *parts)
