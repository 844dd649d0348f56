"""Small floats whose groups along the row share a small scale, as compressed-tensors stores them.

NVFP4
    X.weight_packed        U8 (out, in / 2)        E2M1, the low half of a byte first
    X.weight_scale         F8_E4M3 (out, in / 16)
    X.weight_global_scale  F32 (1)                 divides the scales

MXFP4
    X.weight_packed        U8 (out, in / 2)
    X.weight_scale         U8 (out, in / 32)       exponents of two: 127 stands for 1

MXFP8
    X.weight               F8_E4M3 (out, in)
    X.weight_scale         U8 (out, in / 32)

Rouhani et al., "Microscaling Data Formats for Deep Learning", arXiv:2310.10537; OCP Microscaling
Formats (MX) Specification 1.0. Scales follow the library's rules, so that its bytes come out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import override

from app.encodings.base import Overflow, Part
from app.encodings.extremes import largest_of
from app.encodings.folder import FolderEncoding, in_slices
from app.encodings.packing import (
    as_float32,
    eight_bit_floats,
    floats,
    four_bit_codes,
    four_bit_floats,
    nibbles,
    pack_nibbles,
)

if TYPE_CHECKING:
    from torch import Tensor

_TOP4, _TOP8 = 6.0, 448.0
_GROUP_NV, _GROUP_MX = 16, 32
#: What the library stores for a group of zeros.
_SCALE_OF_ZEROS = 0.125
#: From here on, rounded exponents lead beyond float32.
_LIMIT_MX = 1.75 * 2.0**127


def exponents(largest: Tensor, last: int) -> Tensor:
    """The scale byte of each group by its largest magnitude.

    That one is rounded to one digit behind the point; its exponent less that of the element type's
    largest number is the scale's.

    Args:
        largest: float32, not negative.
        last: Exponent of the element type's largest number.

    Returns:
        uint8; 127 stands for 1.
    """
    import torch

    rounded = largest.contiguous().view(torch.int32) + 2**21
    return ((rounded >> 23) - last).clamp(0, 254).to(torch.uint8)


def four_bits_microscaled(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Codes, (rows, in), one a byte, and scale bytes, (rows, in / 32), of some rows.

    Raises:
        Overflow: A weight is beyond the largest.
    """
    grouped = weight.reshape(len(weight), -1, _GROUP_MX)
    scale = exponents(_magnitude(grouped, _LIMIT_MX), 2)
    return four_bit_codes(grouped / floats(scale)[..., None]).flatten(1), scale


class _Rows(FolderEncoding):
    """Encodes a slice of rows at a time."""

    @override
    def decode(self, parts: dict[str, Tensor], shape: tuple[int, ...]) -> Tensor:
        import torch

        codes = parts.get("weight_packed", parts.get("weight"))
        assert codes is not None
        found = torch.empty(shape, dtype=torch.float32, device=codes.device)
        scales = parts["weight_scale"]
        for rows in in_slices(found):
            some = codes[rows]
            packed = some.dtype is torch.uint8
            values = four_bit_floats(nibbles(some.contiguous())) if packed else as_float32(some)
            scale = floats(scales[rows].contiguous())
            if "weight_global_scale" in parts:
                scale /= parts["weight_global_scale"]
            found[rows] = (values.view(*scale.shape, -1) * scale[..., None]).flatten(1)
        return found


@dataclass(frozen=True, slots=True)
class NvFp4(_Rows):
    """4.5 bits a weight: floats of 4 bits, a scale for every 16, and one for all."""

    @property
    @override
    def name(self) -> str:
        return "nvfp4"

    @override
    def layout(self, shape: tuple[int, ...]) -> tuple[Part, ...]:
        rows, columns = self.matrix(shape, (1, _GROUP_NV))
        return (
            Part("weight_packed", (rows, columns // 2), "U8"),
            Part("weight_scale", (rows, columns // _GROUP_NV), "F8_E4M3"),
            Part("weight_global_scale", (1,), "F32"),
        )

    @override
    def encode(self, weight: Tensor, importance: Tensor | None = None) -> dict[str, Tensor]:
        """Encode a weight that stands alone; see the base class and `encode_among`."""
        del importance
        return self.encode_among(weight, largest_of(weight))

    def encode_among(self, weight: Tensor, largest: float) -> dict[str, Tensor]:
        """Encode with the global scale of several weights that a runtime joins.

        Args:
            weight: One of them.
            largest: The largest magnitude in all of them: q, k and v, or gate and up, must agree.

        Raises:
            NotFinite: A weight is NaN or infinite.
        """
        import torch

        self.layout(tuple(weight.shape))
        largest_of(weight)
        of_all = _TOP4 * _TOP8 / torch.tensor([largest], device=weight.device)
        of_all = of_all.nan_to_num(posinf=1.0)  # nothing but zeros
        found = [_nvfp4(weight[rows], of_all) for rows in in_slices(weight)]
        codes, scales = (torch.cat(parts) for parts in zip(*found, strict=True))
        return {
            "weight_packed": codes,
            "weight_scale": scales,
            "weight_global_scale": of_all,
        }


@dataclass(frozen=True, slots=True)
class MxFp4(_Rows):
    """4.25 bits a weight: floats of 4 bits, and a power of two for every 32."""

    @property
    @override
    def name(self) -> str:
        return "mxfp4"

    @override
    def layout(self, shape: tuple[int, ...]) -> tuple[Part, ...]:
        rows, columns = self.matrix(shape, (1, _GROUP_MX))
        return (
            Part("weight_packed", (rows, columns // 2), "U8"),
            Part("weight_scale", (rows, columns // _GROUP_MX), "U8"),
        )

    @override
    def encode(self, weight: Tensor, importance: Tensor | None = None) -> dict[str, Tensor]:
        import torch

        del importance
        self.layout(tuple(weight.shape))
        largest_of(weight)
        found = [four_bits_microscaled(weight[rows]) for rows in in_slices(weight)]
        return {
            "weight_packed": torch.cat([pack_nibbles(codes) for codes, _ in found]),
            "weight_scale": torch.cat([scale for _, scale in found]),
        }


@dataclass(frozen=True, slots=True)
class MxFp8(_Rows):
    """8.25 bits a weight: floats of 8 bits, and a power of two for every 32."""

    @property
    @override
    def name(self) -> str:
        return "mxfp8"

    @override
    def layout(self, shape: tuple[int, ...]) -> tuple[Part, ...]:
        rows, columns = self.matrix(shape, (1, _GROUP_MX))
        return (
            Part("weight", (rows, columns), "F8_E4M3"),
            Part("weight_scale", (rows, columns // _GROUP_MX), "U8"),
        )

    @override
    def encode(self, weight: Tensor, importance: Tensor | None = None) -> dict[str, Tensor]:
        import torch

        del importance
        self.layout(tuple(weight.shape))
        largest_of(weight)
        codes, scales = [], []
        for rows in in_slices(weight):
            grouped = weight[rows].reshape(rows.stop - rows.start, -1, _GROUP_MX)
            scale = exponents(_magnitude(grouped, _LIMIT_MX), 8)
            scaled = (grouped / floats(scale)[..., None]).flatten(1)
            codes.append(eight_bit_floats(scaled, torch.float8_e4m3fn))
            scales.append(scale)
        return {"weight": torch.cat(codes), "weight_scale": torch.cat(scales)}


def _nvfp4(weight: Tensor, of_all: Tensor) -> tuple[Tensor, Tensor]:
    """Packed codes and scales of some rows."""
    import torch

    grouped = weight.reshape(len(weight), -1, _GROUP_NV)
    wanted = of_all * (_magnitude(grouped) / _TOP4)
    scale = eight_bit_floats(wanted, torch.float8_e4m3fn).to(torch.float32)
    scale = torch.where(scale == 0, _SCALE_OF_ZEROS, scale)
    values = grouped / (scale.to(of_all.device) / of_all)[..., None]
    return (
        pack_nibbles(four_bit_codes(values).flatten(1)),
        eight_bit_floats(scale, torch.float8_e4m3fn),
    )


def _magnitude(grouped: Tensor, limit: float | None = None) -> Tensor:
    """The largest magnitude of each group.

    Raises:
        Overflow: One is at the limit or beyond.
    """
    import torch

    low, high = torch.aminmax(grouped, dim=-1)
    found = torch.maximum(-low, high)
    if limit is not None and bool((found >= limit).any()):
        raise Overflow(float(found.amax()), limit)
    return found
