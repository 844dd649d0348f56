"""What the library of HQQ writes into safetensors; its own pickled files are not read.

See `app.encodings.hqq` for the layout.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from app.encodings.hqq import PACKINGS, some_groups
from app.models.base import Checkpoint
from app.models.quantized.base import Method, QuantizedWeight, expect, not_read, part

if TYPE_CHECKING:
    from torch import Tensor

_CODES = ".W_q"
_FLOATS = ("F16", "BF16", "F32")
_READ = {name: bits for bits, (name, _) in PACKINGS.items()}


@dataclass(frozen=True, slots=True)
class HqqWeight(QuantizedWeight):
    """scale * (code - zero), both for each group of a row."""

    stem: str
    bits: int

    @override
    def rows(self, stored: Checkpoint, start: int, stop: int) -> Tensor:
        import torch

        words = stored.rows(self.stem + _CODES)
        a_row = self.shape[1] // words.shape[1]
        codes = some_groups(words, self.bits, start * a_row, stop * a_row)
        scale, zero = (
            stored.rows(f"{self.stem}.{name}", start * a_row, stop * a_row).to(torch.float32)
            for name in ("scale", "zero")
        )
        return codes.to(torch.float32).sub_(zero).mul_(scale).view(-1, self.shape[1])


class Hqq(Method):
    """Codes with a scale and a zero point that has a fraction, for each group."""

    name: ClassVar[str] = "HQQ"
    config_names: ClassVar[tuple[str, ...]] = ("hqq",)
    signs: ClassVar[tuple[str, ...]] = (_CODES,)

    @override
    def weights(
        self, stored: Checkpoint, settings: Mapping[str, Any]
    ) -> Iterator[tuple[str, QuantizedWeight]]:
        for name in stored.tensors:
            if name.endswith(_CODES):
                stem = name.removesuffix(_CODES)
                yield f"{stem}.weight", _weight(stored, stem)


def _weight(stored: Checkpoint, stem: str) -> HqqWeight:
    """Check the parts of one weight.

    Raises:
        BadModelFile: They do not go together.
        Unsupported: It is packed in another way, or its scales are quantized, too.
    """
    codes = part(stored, stem + _CODES, "U8", "I32")
    scale = part(stored, f"{stem}.scale", *_FLOATS)
    zero = part(stored, f"{stem}.zero", *_FLOATS)
    sizes = part(stored, f"{stem}.shape", "I64")
    packing = part(stored, f"{stem}.packing", "U8")
    expect(sizes.shape == (2,), sizes)
    how = bytes(stored.rows(packing.name)[0].tolist()).decode("ascii", "replace")
    if how not in _READ or int(stored.rows(part(stored, f"{stem}.axis").name)[0, 0]) != 1:
        raise not_read(f"HQQ in the {how} layout")
    bits = _READ[how]
    rows, columns = stored.rows(sizes.name)[0].tolist()
    expect(len(codes.shape) == 2 and codes.dtype == ("I32" if bits == 3 else "U8"), codes)
    words, group = codes.shape
    expect(min(rows, columns, group) > 0 and columns % max(1, group) == 0, sizes)
    groups = rows * columns // group
    expect(words == -(-groups // PACKINGS[bits][1]), codes)
    expect(scale.shape == zero.shape == (groups, 1), scale)
    parts = tuple(name for name in stored.tensors if _belongs(name, stem))
    return HqqWeight((rows, columns), parts, stem, bits)


def _belongs(name: str, stem: str) -> bool:
    """Whether a tensor is of that layer and not its bias."""
    return name.startswith(f"{stem}.") and name != f"{stem}.bias"
