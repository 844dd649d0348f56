"""MXFP4 as OpenAI publishes gpt-oss in it: only the experts, all of a layer in one tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from typing_extensions import override

from app.formats.base import Preset
from app.formats.safetensors.scheme import EVERYWHERE, Modules, Scheme
from app.formats.safetensors.targets import Role
from app.formats.size_classes import USUAL


@dataclass(frozen=True, slots=True)
class GptOss(Scheme):
    """4-bit floats with a power of two for every 32."""

    roles: ClassVar[frozenset[Role]] = frozenset({Role.STACK})
    families: ClassVar[frozenset[str]] = frozenset({"gpt_oss"})

    @property
    @override
    def preset(self) -> Preset:
        return Preset(
            "gpt-oss-mxfp4",
            self.encoding("BF16"),
            "4-bit floats for the experts of gpt-oss, as it was published.",
            "the original",
            group=USUAL,
            runs_in=EVERYWHERE,
        )

    @override
    def encoding(self, dtype: str) -> str:
        return "mxfp4-experts"

    @override
    def config(self, modules: Modules) -> dict[str, Any]:
        return {
            "quantization_config": {
                "quant_method": "mxfp4",
                "modules_to_not_convert": [
                    "model.layers.*.self_attn",
                    "model.layers.*.mlp.router",
                    "model.embed_tokens",
                    "lm_head",
                ],
            }
        }
