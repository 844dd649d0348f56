"""FP8 numbers with scales: DeepSeek's blocks, rows of FBGEMM, one scale for all, and MXFP8.

    X            F8_E4M3 (..., out, in)
    X_scale_inv  or X_scale: what X is multiplied with; one number, one for each row, or one for
                 each block of 128 x 128

Experts may be 4-bit floats in I8 bytes instead, with an exponent for each 32.

DeepSeek-AI, "DeepSeek-V3 Technical Report", arXiv:2412.19437, section 3.3.2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from typing_extensions import override

from app.core.errors import BadModelFile
from app.models.base import Checkpoint
from app.models.config import items
from app.models.quantized.base import Method, QuantizedWeight, expect, part
from app.models.quantized.fp4 import Fp4
from app.models.quantized.scaled import Grid, Scaled

FP8 = ("F8_E4M3", "F8_E5M2")
_SCALES = ("F32", "BF16", "F16", "F8_E8M0", "U8")
_ENDINGS = ("_scale_inv", "_scale")


class Fp8(Method):
    """8-bit floats times scales."""

    name: ClassVar[str] = "FP8"
    config_names: ClassVar[tuple[str, ...]] = ("fp8", "fbgemm_fp8", "mxfp8")
    signs: ClassVar[tuple[str, ...]] = ("_scale_inv",)
    native: ClassVar[bool] = True

    @override
    def weights(
        self, stored: Checkpoint, settings: Mapping[str, Any]
    ) -> Iterator[tuple[str, QuantizedWeight]]:
        block = block_of(settings, "weight_block_size")
        for name, info in stored.tensors.items():
            ending = next((end for end in _ENDINGS if name + end in stored.tensors), "")
            if info.dtype in FP8:
                yield name, scaled_fp8(stored, name, name + (ending or _ENDINGS[0]), block)
            elif ending and info.dtype in {"I8", "U8"}:
                yield name, Fp4.of(stored, info, name + ending, divided=False)


def scaled_fp8(stored: Checkpoint, name: str, scale: str, block: tuple[int, ...] = ()) -> Scaled:
    """FP8 numbers `name` times `scale`.

    Raises:
        BadModelFile: There is no such scale, or it does not fit.
    """
    info, scales = part(stored, name, *FP8), part(stored, scale, *_SCALES)
    expect(len(info.shape) > 1, info)
    return Scaled(info.shape, (name, scale), name, Grid.over(info.shape, scales, block))


def block_of(settings: Mapping[str, Any], key: str) -> tuple[int, ...]:
    """A block's rows and columns, where the config gives them.

    Raises:
        BadModelFile: They are not two counts.
    """
    found = tuple(items(settings, key, ()))
    if found and (len(found) != 2 or any(type(one) is not int or one < 1 for one in found)):
        raise BadModelFile(f"config.json: {key} must be two positive whole numbers.")
    return found
