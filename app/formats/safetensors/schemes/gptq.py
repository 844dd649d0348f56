"""The files of AutoGPTQ and GPTQModel, which most programs that know 4 bits can read.

GPTQ is the name of a method, too, and what is meant by most who ask for few bits. The files hold
integers in groups, whoever has chosen them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from typing_extensions import override

from app.formats.base import Preset
from app.formats.safetensors.layout import json_bytes
from app.formats.safetensors.scheme import EVERYWHERE, Modules, Scheme
from app.formats.size_classes import size_class

_IN_LAYER = re.compile(r".*?(?:layers|h|blocks)\.\d+\.(.+)")
_FEW = 4
"""Bits at which rounding to the nearest loses much more."""
_QUALITY = {2: "unusable for most models", 3: "visible loss", 4: "small loss"}


@dataclass(frozen=True, slots=True)
class Gptq(Scheme):
    """2, 3, 4 or 8 bits in groups."""

    bits: int
    group: int = 128
    symmetric: bool = True
    version: int = 1
    """1 stores zero points less one, and is what programs expect; 2 stores them as they are."""

    @classmethod
    @override
    def variants(cls) -> Iterator[Self]:
        yield cls(4)
        yield cls(4, 32)
        yield cls(8)
        yield cls(3)
        yield cls(2, 64)
        yield cls(4, symmetric=False, version=2)

    @property
    @override
    def preset(self) -> Preset:
        kind = "" if self.symmetric else "-asym-v2"
        return Preset(
            f"gptq-{self.bits}bit{kind}-g{self.group}",
            self.encoding("BF16"),
            f"{self.bits}-bit integers, a scale for every {self.group}, in the files of GPTQModel"
            + (", second version." if self.version == 2 else "."),
            _QUALITY.get(self.bits, "practically the original"),
            group=size_class(self.bits),
            runs_in=EVERYWHERE,
            method="gptq" if self.bits <= _FEW else "nearest",
        )

    @override
    def encoding(self, dtype: str) -> str:
        prefix = "gptq2" if self.version == 2 else "gptq"
        kind = "sym" if self.symmetric else "asym"
        return f"{prefix}-{self.bits}bit-g{self.group}-{kind}"

    @override
    def config(self, modules: Modules) -> dict[str, Any]:
        settings: dict[str, Any] = {
            "quant_method": "gptq",
            "bits": self.bits,
            "group_size": self.group,
            "desc_act": False,
            "sym": self.symmetric,
            "checkpoint_format": "gptq_v2" if self.version == 2 else "gptq",
            "lm_head": False,
            "true_sequential": True,
        }
        left = [name for name in modules.left if _IN_LAYER.fullmatch(name)]
        if left:  # GPTQModel and vLLM read the first, transformers and vLLM the second
            settings["dynamic"] = {f"-:^{re.escape(name)}$": {} for name in left}
            settings["modules_in_block_to_quantize"] = [_names_in_layers(modules.quantized)]
        return {"quantization_config": settings}

    @override
    def files(self, config: Mapping[str, Any]) -> dict[str, bytes]:
        return {"quantize_config.json": json_bytes(config["quantization_config"])}


def _names_in_layers(modules: tuple[str, ...]) -> list[str]:
    """What modules are called within their layers, each once."""
    matches = map(_IN_LAYER.fullmatch, modules)
    return list(dict.fromkeys(match[1] for match in matches if match))
