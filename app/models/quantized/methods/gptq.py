"""GPTQ as AutoGPTQ, GPTQModel and AutoRound write it.

    X.qweight  I32 (in * bits / 32, out)       codes, packed along in
    X.qzeros   I32 (groups, out * bits / 32)   zero points, packed along out
    X.scales   F16 (groups, out)
    X.g_idx    I32 (in)                        each column's group; may be absent

AutoGPTQ gives every layer an X.bias: zeros, where the model has none.

The format "gptq" stores zero points less one, "gptq_v2" as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from app.core.errors import Unsupported
from app.encodings.packing import unpack, unpack_some
from app.models.base import Checkpoint
from app.models.config import flag, text
from app.models.quantized.base import Method, QuantizedWeight, expect, not_read, part
from app.models.quantized.groups import even_groups, scaled_groups, stored_groups

if TYPE_CHECKING:
    from torch import Tensor

_CODES = ".qweight"
_FLOATS = ("F16", "BF16", "F32")


@dataclass(frozen=True, slots=True)
class GptqWeight(QuantizedWeight):
    """(code - zero) * scale, stored on its side: a row of the weight is a column of words."""

    codes: str
    zeros: str
    scales: str
    group: str
    """Name of the columns' groups; "": they are even."""
    bits: int
    offset: int
    """What is added to stored zero points."""

    @override
    def rows(self, stored: Checkpoint, start: int, stop: int) -> Tensor:
        import torch

        words = stored.rows(self.codes)[:, start:stop].t().contiguous()  # (rows, words)
        codes = unpack(words, self.bits)
        scales = stored.rows(self.scales)[:, start:stop].t()  # (rows, groups)
        zeros = unpack_some(stored.rows(self.zeros), self.bits, start, stop).t()
        if self.group:
            group = stored_groups(stored, self.group, scales.shape[1])
        else:
            group = even_groups(self.shape[1], scales.shape[1])
        return scaled_groups(codes, zeros.to(torch.int16) + self.offset, scales, group)


class Gptq(Method):
    """Codes with a scale and a zero point for each group, perhaps in the order of activations."""

    name: ClassVar[str] = "GPTQ"
    config_names: ClassVar[tuple[str, ...]] = ("gptq", "auto-round", "intel/auto-round")
    signs: ClassVar[tuple[str, ...]] = (".g_idx",)

    @override
    def weights(
        self, stored: Checkpoint, settings: Mapping[str, Any]
    ) -> Iterator[tuple[str, QuantizedWeight]]:
        offset = _offset_of_zeros(settings)
        for name in stored.tensors:
            if name.endswith(_CODES):
                stem = name.removesuffix(_CODES)
                if flag(settings, "desc_act", False):  # then nothing else tells the groups
                    part(stored, f"{stem}.g_idx")
                yield f"{stem}.weight", _weight(stored, stem, offset)


def _offset_of_zeros(settings: Mapping[str, Any]) -> int:
    """What the stored zero points lack.

    Raises:
        Unsupported: The codes are arranged for one program's kernels.
    """
    form = text(settings, "checkpoint_format", "gptq")
    packing = text(settings, "packing_format", "auto_round:auto_gptq")
    if form not in {"gptq", "gptq_v2"} or settings.get("is_marlin_format") is True:
        raise not_read(f"GPTQ in the {form if form != 'gptq' else 'marlin'} layout")
    if packing not in {"auto_round:auto_gptq", "auto_round:gptq"}:
        raise not_read(f"AutoRound in the {packing} layout")
    return 1 if form == "gptq" else 0


def _weight(stored: Checkpoint, stem: str, offset: int) -> GptqWeight:
    codes = part(stored, stem + _CODES, "I32")
    zeros = part(stored, f"{stem}.qzeros", "I32")
    scales = part(stored, f"{stem}.scales", *_FLOATS)
    expect(len(codes.shape) == 2, codes)
    expect(len(scales.shape) == 2 and scales.shape[1] == codes.shape[1], scales)
    groups, rows = scales.shape
    found = (bits for bits in (2, 3, 4, 8) if ceil(rows * bits / 32) == zeros.shape[-1])
    bits = next(found, 0)
    expect(bits > 0 and zeros.shape == (groups, zeros.shape[-1]), zeros)
    columns = codes.shape[0] * 32 // bits
    group = f"{stem}.g_idx" if f"{stem}.g_idx" in stored.tensors else ""
    parts: tuple[str, ...] = (codes.name, zeros.name, scales.name)
    if group:
        order = part(stored, group, "I32", "I64")
        expect(order.shape == (columns,), order)
        parts += (group,)
    if _is_zero(stored, f"{stem}.bias"):
        parts += (f"{stem}.bias",)
    expect(0 < groups <= columns and (bool(group) or columns % groups == 0), scales)
    return GptqWeight(
        (rows, columns), parts, codes.name, zeros.name, scales.name, group, bits, offset
    )


def _is_zero(stored: Checkpoint, name: str) -> bool:
    """Whether a tensor is known to hold nothing but zeros."""
    if name not in stored.tensors:
        return False
    try:
        return not stored.rows(name).any()
    except Unsupported:  # still on the hub
        return False
