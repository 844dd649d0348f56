"""8-bit floats as transformers knows them: DeepSeek's blocks, and rows for FBGEMM.

DeepSeek-AI, "DeepSeek-V3 Technical Report", arXiv:2412.19437, section 3.3.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

from typing_extensions import override

from app.formats.base import Preset
from app.formats.safetensors.scheme import EVERYWHERE, TRANSFORMERS, Modules, Scheme
from app.formats.size_classes import EXPERIMENTS, NEAR


@dataclass(frozen=True, slots=True)
class Blocks(Scheme):
    """A scale for each block of 128 x 128, which must divide every weight."""

    e5m2: bool = False

    @classmethod
    @override
    def variants(cls) -> Iterator[Self]:
        yield cls()
        yield cls(e5m2=True)

    @property
    @override
    def preset(self) -> Preset:
        if self.e5m2:
            return Preset(
                "fp8-block-e5m2",
                self.encoding("BF16"),
                "An experiment: 8-bit floats with a wider range and fewer digits, unpacked to 16 "
                "bits as they are loaded.",
                "visible loss",
                group=EXPERIMENTS,
                runs_in=TRANSFORMERS,
            )
        return Preset(
            "fp8-block",
            self.encoding("BF16"),
            "8-bit floats in blocks, as DeepSeek publishes them: fast on graphics cards since "
            "2023.",
            "practically the original",
            group=NEAR,
            runs_in=EVERYWHERE,
            rounds_inputs=True,
        )

    @override
    def encoding(self, dtype: str) -> str:
        return "fp8-deepseek-e5m2" if self.e5m2 else "fp8-deepseek"

    @override
    def fits(self, shape: tuple[int, ...]) -> bool:
        return all(size % 128 == 0 for size in shape)

    @override
    def config(self, modules: Modules) -> dict[str, Any]:
        settings: dict[str, Any] = {
            "quant_method": "fp8",
            "activation_scheme": "dynamic",
            "weight_block_size": [128, 128],
            "fmt": "e5m2" if self.e5m2 else "e4m3",
            "modules_to_not_convert": list(modules.left),
        }
        if self.e5m2:  # else transformers 5.23 makes E4M3 of it, and cuts off what is above 448
            settings["dequantize"] = True
        return {"quantization_config": settings}


@dataclass(frozen=True, slots=True)
class Fbgemm(Scheme):
    """A float32 scale for each row, for graphics cards of NVIDIA since 2022."""

    @property
    @override
    def preset(self) -> Preset:
        return Preset(
            "fbgemm-fp8",
            self.encoding("BF16"),
            "8-bit floats for FBGEMM; fp8 holds the same numbers and runs in more programs.",
            "practically the original",
            group=NEAR,
            runs_in=EVERYWHERE,
            rounds_inputs=True,
        )

    @override
    def encoding(self, dtype: str) -> str:
        return "fp8-fbgemm"

    @override
    def knows_experts(self, model_type: str) -> bool:
        return False  # transformers knows those of Llama 4, joined; vLLM and SGLang none

    @override
    def config(self, modules: Modules) -> dict[str, Any]:
        return {
            "quantization_config": {
                "quant_method": "fbgemm_fp8",
                "activation_scale_ub": 1200.0,
                "modules_to_not_convert": list(modules.left),
            }
        }
