"""What bitsandbytes loads: NF4 and FP4 in blocks, and LLM.int8()."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

from typing_extensions import override

from app.formats.base import Preset
from app.formats.safetensors.floats import WORDS
from app.formats.safetensors.scheme import Modules, Scheme, module, scaled
from app.formats.safetensors.targets import Target
from app.formats.size_classes import NEAR, USUAL

_RUNS_IN = "transformers, PEFT, vLLM, SGLang"
_SKIPPED = "llm_int8_skip_modules"


class _BitsAndBytes(Scheme):
    """The library replaces linear layers, and knows none in transformers' joined experts."""

    @override
    def knows_experts(self, model_type: str) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class FourBit(_BitsAndBytes):
    """A table of 16 values, times a number for every 64 weights."""

    kind: str
    double: bool = False

    @classmethod
    @override
    def variants(cls) -> Iterator[Self]:
        yield cls("nf4")
        yield cls("nf4", double=True)
        yield cls("fp4")

    @property
    @override
    def preset(self) -> Preset:
        double = "; the blocks' numbers are quantized, too" if self.double else ""
        table = "quantiles of the normal distribution" if self.kind == "nf4" else "4-bit floats"
        return Preset(
            f"bnb-{self.kind}" + ("-dq" if self.double else ""),
            self.encoding("BF16"),
            f"16 values that are {table}{double}; for QLoRA.",
            "small loss" if self.kind == "nf4" else "visible loss",
            group=USUAL,
            featured=self.kind == "nf4" and self.double,
            runs_in=_RUNS_IN,
        )

    @override
    def encoding(self, dtype: str) -> str:
        return scaled(f"{self.kind}-double" if self.double else self.kind, dtype)

    @override
    def config(self, modules: Modules) -> dict[str, Any]:
        return {
            "quantization_config": {
                "quant_method": "bitsandbytes",
                "load_in_4bit": True,
                "load_in_8bit": False,
                "bnb_4bit_quant_type": self.kind,
                "bnb_4bit_use_double_quant": self.double,
                "bnb_4bit_compute_dtype": WORDS[modules.dtype],
                "bnb_4bit_quant_storage": "uint8",
                _SKIPPED: list(modules.left),
            }
        }


@dataclass(frozen=True, slots=True)
class LlmInt8(_BitsAndBytes):
    """A number for each row; columns of outliers are multiplied in 16 bits at run time."""

    @property
    @override
    def preset(self) -> Preset:
        return Preset(
            "bnb-int8",
            self.encoding("BF16"),
            "8-bit integers; what stands out among the inputs is multiplied in 16 bits.",
            "practically the original",
            group=NEAR,
            runs_in=_RUNS_IN,
        )

    @override
    def encoding(self, dtype: str) -> str:
        return "llm-int8"

    @override
    def config(self, modules: Modules) -> dict[str, Any]:
        return {
            "quantization_config": {
                "quant_method": "bitsandbytes",
                "load_in_4bit": False,
                "load_in_8bit": True,
                "llm_int8_threshold": 6.0,
                "llm_int8_has_fp16_weight": False,
                "llm_int8_enable_fp32_cpu_offload": False,
                _SKIPPED: list(modules.left),
            }
        }

    @override
    def beside(self, target: Target) -> tuple[str, ...]:
        return (f"{module(target.name)}.weight_format",)
