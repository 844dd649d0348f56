"""Pixtral and Mistral Small 3.1: a decoder's layers without a mask, with a token between rows.

Agrawal et al., "Pixtral 12B", 2024, arXiv:2410.07073.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, ClassVar

from typing_extensions import override

from app.core.errors import Unsupported
from app.models.architectures.base import Config, Weight, text_part
from app.models.architectures.changes import Neighbours
from app.models.architectures.vision.base import CLIP_COLOURS, Tower, Vision, linear, norm
from app.models.config import flag, section, whole_number


class PixtralVision(Vision):
    """Pixtral, Mistral Small 3.1 and 3.2, Ministral 3."""

    title: ClassVar[str] = "Pixtral"
    model_types: ClassVar[tuple[str, ...]] = ("mistral3", "llava")
    projector: ClassVar[str] = "pixtral"
    skipped: ClassVar[str] = ""
    colours = CLIP_COLOURS
    epsilon: ClassVar[float] = 1e-5
    row_end: ClassVar[str] = "[IMG_BREAK]"
    defaults: ClassVar[dict[str, Any]] = {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "image_size": 1024,
        "patch_size": 16,
        "hidden_act": "gelu",
    }

    @override
    def matches(self, config: Config) -> bool:
        seen = config.get("vision_config")
        inner = isinstance(seen, Mapping) and seen.get("model_type", "pixtral") == "pixtral"
        return inner and super().matches(config)

    @override
    def weights(self, config: Config, stored: Collection[str]) -> Iterator[Weight]:
        tower, width = self.tower(config), whole_number(text_part(config), "hidden_size")
        shape = tower.hidden, 3, tower.patch, tower.patch
        yield Weight.of("v.patch_embd.weight", "vision_tower.patch_conv.weight", *shape)
        yield from norm("v.pre_ln", "vision_tower.ln_pre", tower.hidden, bias=False)
        for layer in range(tower.layers):
            yield from _layer(layer, tower)
        hf = "multi_modal_projector."
        biased = flag(config, "multimodal_projector_bias", config.get("model_type") == "llava")
        if merging(config) > 1:
            merged = tower.hidden * merging(config) ** 2
            merger = hf + "patch_merger.merging_layer.weight"
            yield from norm("mm.input_norm", hf + "norm", tower.hidden, bias=False)
            yield Weight.of("mm.patch_merger.weight", merger, tower.hidden, merged)
        yield from linear("mm.1", hf + "linear_1", width, tower.hidden, bias=biased)
        yield from linear("mm.2", hf + "linear_2", width, width, bias=biased)

    @override
    def details(self, config: Config, preprocessor: Config) -> dict[str, Any]:
        tower, part = self.tower(config), self.part(config)
        rope = section(part, "rope_parameters", {})
        theta = rope.get("rope_theta", part.get("rope_theta", 10000.0))
        head = whole_number(part, "head_dim", tower.hidden // tower.heads)
        if theta != 10000 or head != tower.hidden // tower.heads:
            raise Unsupported(
                "This model's attention over pictures is not the one that llama.cpp computes.",
                "Choose another model of the family.",
            )
        if config.get("vision_feature_layer", -1) != -1:
            raise Unsupported(
                "This model looks with layers before the last one, which is not supported.",
                "Choose another model of the family.",
            )
        return {"vision.spatial_merge_size": merging(config)}


def merging(config: Config) -> int:
    """Patches of a side that become one token."""
    mistral = config.get("model_type") == "mistral3"
    return whole_number(config, "spatial_merge_size", 2 if mistral else 1)


def _layer(layer: int, tower: Tower) -> Iterator[Weight]:
    gguf, hf = f"v.blk.{layer}.", f"vision_tower.transformer.layers.{layer}."
    hidden, turned = tower.hidden, Neighbours(tower.hidden // tower.heads)
    yield from norm(gguf + "ln1", hf + "attention_norm", hidden, bias=False)
    for kind in "qk":
        name = f"{hf}attention.{kind}_proj"
        yield from linear(f"{gguf}attn_{kind}", name, hidden, hidden, change=turned, bias=False)
    for ours, theirs in (("v", "v_proj"), ("out", "o_proj")):
        yield from linear(
            f"{gguf}attn_{ours}", f"{hf}attention.{theirs}", hidden, hidden, bias=False
        )
    yield from norm(gguf + "ln2", hf + "ffn_norm", hidden, bias=False)
    for ours in ("gate", "up"):
        name = f"{hf}feed_forward.{ours}_proj"
        yield from linear(f"{gguf}ffn_{ours}", name, tower.inner, hidden, bias=False)
    down = hf + "feed_forward.down_proj"
    yield from linear(gguf + "ffn_down", down, hidden, tower.inner, bias=False)
