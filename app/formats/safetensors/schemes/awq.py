"""The files of AutoAWQ in its "gemm" layout.

AWQ is the name of a method, too, and what is meant by most who ask for it. The files hold integers
in groups, whoever has chosen them. The kernels that read them compute in F16, so that every other
number is stored in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

from typing_extensions import override

from app.formats.base import Preset
from app.formats.safetensors.scheme import EVERYWHERE, Modules, Scheme
from app.formats.size_classes import USUAL


@dataclass(frozen=True, slots=True)
class Awq(Scheme):
    """4 bits and a zero point for each group."""

    group: int = 128

    @classmethod
    @override
    def variants(cls) -> Iterator[Self]:
        yield cls()
        yield cls(64)
        yield cls(32)

    @property
    @override
    def preset(self) -> Preset:
        return Preset(
            f"awq-4bit-g{self.group}",
            self.encoding("F16"),
            f"4-bit integers, a scale and a zero point for every {self.group}, in the files of "
            "AutoAWQ.",
            "small loss",
            group=USUAL,
            runs_in=EVERYWHERE,
            method="awq",
        )

    @override
    def floats(self, main: str) -> str:
        return "F16"

    @override
    def encoding(self, dtype: str) -> str:
        return f"awq-4bit-g{self.group}-asym"

    @override
    def config(self, modules: Modules) -> dict[str, Any]:
        return {
            "quantization_config": {
                "quant_method": "awq",
                "bits": 4,
                "group_size": self.group,
                "version": "gemm",
                "zero_point": True,
                "modules_to_not_convert": list(modules.left),
            }
        }
