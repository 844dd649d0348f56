"""NVFP4 and FP8 as NVIDIA's Model Optimizer names them.

    X         U8 (out, in / 2)            4-bit floats, the low half of a byte first
    X_scale   F8_E4M3 (out, in / 16)
    X_scale_2 F32                         multiplied with both

or X F8_E4M3 with one X_scale. "input_scale" belongs to activations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from typing_extensions import override

from app.models.base import Checkpoint
from app.models.config import text
from app.models.quantized.base import Method, QuantizedWeight, not_read
from app.models.quantized.fp4 import Fp4
from app.models.quantized.methods.fp8 import FP8, scaled_fp8

_ALGORITHMS = {
    "FP8", "FP8_PER_CHANNEL_PER_TOKEN", "MIXED_PRECISION", "NVFP4", "W4A16_NVFP4"
}  # fmt: skip


class ModelOpt(Method):
    """4-bit floats with scales of scales, or 8-bit floats."""

    name: ClassVar[str] = "ModelOpt"
    config_names: ClassVar[tuple[str, ...]] = ("modelopt", "modelopt_fp4", "modelopt_mixed")
    signs: ClassVar[tuple[str, ...]] = (".weight_scale_2", ".weight_scale")

    @override
    def weights(
        self, stored: Checkpoint, settings: Mapping[str, Any]
    ) -> Iterator[tuple[str, QuantizedWeight]]:
        algorithm = text(settings, "quant_algo", "FP8")
        if algorithm not in _ALGORITHMS or any(map(_scales_inputs, stored.tensors)):
            raise not_read(f"{algorithm} of ModelOpt")
        for name, info in stored.tensors.items():
            if info.dtype in FP8 and not name.endswith("_scale"):
                yield name, scaled_fp8(stored, name, f"{name}_scale")
            elif info.dtype == "U8" and f"{name}_scale_2" in stored.tensors:
                yield name, Fp4.of(stored, info, f"{name}_scale", f"{name}_scale_2", divided=False)


def _scales_inputs(name: str) -> bool:
    """Whether a tensor is what inputs are multiplied with before the weight, as AWQ has it."""
    return name.endswith("pre_quant_scale")
