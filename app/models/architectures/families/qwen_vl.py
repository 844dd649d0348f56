"""Qwen 2, 2.5 and 3 that see, the text part.

Positions in pictures turn three parts of a head by time, height and width; in text all three are
the same, so that the text part alone is the plain family's model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from typing_extensions import override

from app.models.architectures.base import Config
from app.models.architectures.decoder import Decoder
from app.models.architectures.families.qwen2 import Qwen2
from app.models.architectures.families.qwen3 import Qwen3
from app.models.architectures.families.qwen3_moe import Qwen3Moe
from app.models.architectures.rope import Rope

_SECTIONS = (16, 24, 24)


class _Sectioned(Decoder):
    """A family with the sections of rotary embedding."""

    text_type: ClassVar[str]
    """Transformers' name for the plain family."""

    @override
    def rope(self, config: Config) -> Rope:
        given = config.get("rope_parameters") or config.get("rope_scaling") or {}
        known = {key: value for key, value in given.items() if key != "mrope_section"}
        if known.get("rope_type", known.get("type")) == "mrope":
            known = {**known, "rope_type": "default", "type": "default"}
        return super().rope({**config, "rope_parameters": known})

    @override
    def metadata(self, config: Config) -> dict[str, Any]:
        given = config.get("rope_parameters") or config.get("rope_scaling") or {}
        sections = given.get("mrope_section") if isinstance(given, Mapping) else None
        parts = (*(sections or _SECTIONS), 0)[:4]
        return {**super().metadata(config), "rope.dimension_sections": parts}

    @override
    def text_config(self, config: Config) -> Config:
        plain = {
            key: config[key] for key in config if key not in {"rope_parameters", "rope_scaling"}
        }
        return {**plain, "model_type": self.text_type, **self.rope(config).to_config()}


class Qwen2Vl(_Sectioned, Qwen2):
    """Qwen 2 VL and 2.5 VL."""

    title = "Qwen2 VL"
    gguf = "qwen2vl"
    model_types = ("qwen2_vl_text", "qwen2_5_vl_text", "qwen2_vl", "qwen2_5_vl")
    classes = ("Qwen2VLForConditionalGeneration", "Qwen2_5_VLForConditionalGeneration")
    text_type = "qwen2"


class Qwen3Vl(_Sectioned, Qwen3):
    """Qwen 3 VL, dense."""

    title = "Qwen3 VL"
    gguf = "qwen3vl"
    model_types = ("qwen3_vl_text",)
    classes = ("Qwen3VLForConditionalGeneration",)
    text_type = "qwen3"

    @override
    def metadata(self, config: Config) -> dict[str, Any]:
        return {**super().metadata(config), **_deep_layers(config)}


class Qwen3VlMoe(_Sectioned, Qwen3Moe):
    """Qwen 3 VL with experts."""

    title = "Qwen3 VL MoE"
    gguf = "qwen3vlmoe"
    model_types = ("qwen3_vl_moe_text",)
    classes = ("Qwen3VLMoeForConditionalGeneration",)
    text_type = "qwen3_moe"

    @override
    def metadata(self, config: Config) -> dict[str, Any]:
        return {**super().metadata(config), **_deep_layers(config)}


def _deep_layers(config: Config) -> dict[str, Any]:
    """How many layers take what the eye saw at several depths."""
    vision = config.get("vision_config")
    depths = vision.get("deepstack_visual_indexes") if isinstance(vision, Mapping) else None
    return {"n_deepstack_layers": len(depths or ())}
