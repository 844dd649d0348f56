"""What the library of HQQ loads, also through transformers before version 5.

Current vLLM and transformers 5 do not load it. The same numbers, without a library of their own,
are in the formats for MLX.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

from typing_extensions import override

from app.formats.base import Preset
from app.formats.safetensors.scheme import Modules, Scheme, scaled
from app.formats.size_classes import size_class

_QUALITY = {2: "unusable for most models", 3: "visible loss", 4: "small loss"}


@dataclass(frozen=True, slots=True)
class Hqq(Scheme):
    """2, 3, 4 or 8 bits in groups."""

    bits: int
    group: int = 64

    @classmethod
    @override
    def variants(cls) -> Iterator[Self]:
        for bits in (8, 4, 3, 2):
            yield cls(bits)

    @property
    @override
    def preset(self) -> Preset:
        return Preset(
            f"hqq-{self.bits}bit-g{self.group}",
            self.encoding("BF16"),
            f"{self.bits}-bit integers in the files of HQQ's own library.",
            _QUALITY.get(self.bits, "practically the original"),
            group=size_class(self.bits),
            runs_in="hqq",
            method="hqq",
        )

    @override
    def encoding(self, dtype: str) -> str:
        return scaled(f"hqq-{self.bits}bit-g{self.group}", dtype)

    @override
    def knows_experts(self, model_type: str) -> bool:
        return False

    @override
    def config(self, modules: Modules) -> dict[str, Any]:
        weights = {
            "nbits": self.bits,
            "channel_wise": True,
            "group_size": self.group,
            "optimize": True,
            "round_zero": False,
            "axis": 1,
            "view_as_float": False,
        }
        chosen = {
            "weight_quant_params": weights,
            "scale_quant_params": None,
            "zero_quant_params": None,
        }
        return {
            "quantization_config": {
                "quant_method": "hqq",
                "quant_config": chosen,
                "skip_modules": list(modules.left),
            }
        }
