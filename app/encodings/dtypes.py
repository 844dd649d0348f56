"""The number types of safetensors files, as torch knows them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def torch_dtype(dtype: str) -> torch.dtype:
    """The type that a file calls `dtype`: "BF16"."""
    return _torch_dtypes()[dtype]


@cache
def _torch_dtypes() -> dict[str, torch.dtype]:
    import torch

    return {
        "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
        "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2,
        "F8_E8M0": torch.float8_e8m0fnu, "I64": torch.int64, "I32": torch.int32,
        "I16": torch.int16, "I8": torch.int8, "U64": torch.uint64, "U32": torch.uint32,
        "U16": torch.uint16, "U8": torch.uint8, "BOOL": torch.bool,
    }  # fmt: skip
