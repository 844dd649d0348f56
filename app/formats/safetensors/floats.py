"""What becomes of the numbers that are not quantized."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from app.core.tensor import TensorInfo
from app.models.base import Checkpoint

_HALVES = ("BF16", "F16")
_FLOATS = {"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"}
#: What config.json calls them.
WORDS = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}
_DTYPES = {word: dtype for dtype, word in WORDS.items()}
_FIELDS = ("dtype", "torch_dtype")


def main_dtype(checkpoint: Checkpoint) -> str:
    """What a model is meant to be kept in: what its config says, or else what most bytes are.

    A quantized source says it in its config; its weights count as nothing.
    """
    said = _DTYPES.get(str(_said(checkpoint.config)).removeprefix("torch."), "")
    if said in _HALVES:
        return said
    by_dtype: Counter[str] = Counter()
    for info in checkpoint.tensors.values():
        if info.dtype in WORDS and not is_computed(info):
            by_dtype[info.dtype] += info.nbytes
    return by_dtype.most_common(1)[0][0] if by_dtype else "BF16"


def is_computed(info: TensorInfo) -> bool:
    """Whether a weight is read as float32 but stored in another way."""
    return info.dtype == "F32" and info.nbytes != 4 * info.weights


def kept_dtype(info: TensorInfo, main: str, wanted: str) -> str:
    """What a tensor is stored in that is not quantized.

    Args:
        info: As it is in the source.
        main: What most of the source is in.
        wanted: What floats become.
    """
    if info.dtype not in _FLOATS:
        return info.dtype
    if info.dtype == "F32" and main in _HALVES and not is_computed(info):
        return "F32"  # whoever trained the model in 16 bits had a reason
    return wanted


def with_dtype(config: Mapping[str, Any], dtype: str) -> dict[str, Any]:
    """`config` with what it says about the type of numbers, at every level that says so."""
    found = dict(config)
    known = [field for field in _FIELDS if field in found]
    for field in known:
        found[field] = WORDS[dtype]
    for part, inner in found.items():
        if isinstance(inner, Mapping) and part.endswith("_config"):
            found[part] = with_dtype(inner, dtype)
    return found


def _said(config: Mapping[str, Any]) -> object:
    for part in (config, config.get("text_config")):
        if isinstance(part, Mapping):
            for field in _FIELDS:
                if part.get(field):
                    return part[field]
    return ""
