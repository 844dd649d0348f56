"""Qwen3-VL and Qwen3.5: learned positions, and glances from layers in between.

Qwen Team, "Qwen3-VL Technical Report", 2025, arXiv:2511.21631.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from math import isqrt
from typing import Any, ClassVar

from typing_extensions import override

from app.core.errors import BadModelFile
from app.models.architectures.base import Config, Weight, text_part
from app.models.architectures.vision.base import EVEN_COLOURS, Tower, Vision, linear, norm
from app.models.architectures.vision.families.qwen2_5_vl import check_merging, frames
from app.models.config import items, whole_number


class Qwen3Vision(Vision):
    """Qwen3-VL, dense and mixtures, and Qwen3.5."""

    title: ClassVar[str] = "Qwen3-VL"
    model_types: ClassVar[tuple[str, ...]] = (
        "qwen3_vl",
        "qwen3_vl_moe",
        "qwen3_5",
        "qwen3_5_moe",
    )
    projector: ClassVar[str] = "qwen3vl_merger"
    renamed: ClassVar[tuple[tuple[str, str], ...]] = ((r"^model\.", ""),)
    roots: ClassVar[tuple[str, ...]] = ("visual.",)
    skipped: ClassVar[str] = ""
    colours = EVEN_COLOURS
    defaults: ClassVar[dict[str, Any]] = {
        "depth": 27,
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "num_heads": 16,
        "patch_size": 16,
        "num_position_embeddings": 2304,
        "hidden_act": "gelu_pytorch_tanh",
    }

    @override
    def part(self, config: Config) -> Config:
        part = dict(super().part(config))
        part["num_hidden_layers"], part["num_attention_heads"] = part["depth"], part["num_heads"]
        positions = whole_number(part, "num_position_embeddings")
        part["image_size"] = isqrt(positions) * whole_number(part, "patch_size")
        return part

    @override
    def weights(self, config: Config, stored: Collection[str]) -> Iterator[Weight]:
        tower, width = self.tower(config), whole_number(text_part(config), "hidden_size")
        check_merging(self.part(config), self.title)
        yield from frames(tower)
        yield Weight.of("v.patch_embd.bias", "visual.patch_embed.proj.bias", tower.hidden)
        positions = "visual.pos_embed.weight"
        yield Weight.of("v.position_embd.weight", positions, tower.patches, tower.hidden)
        for layer in range(tower.layers):
            yield from _layer(layer, tower)
        yield from norm("v.post_ln", "visual.merger.norm", tower.hidden)
        merged = 4 * tower.hidden
        yield from linear("mm.0", "visual.merger.linear_fc1", merged, merged)
        yield from linear("mm.2", "visual.merger.linear_fc2", width, merged)
        for number, layer in enumerate(self._glances(config, tower)):
            gguf, hf = f"v.deepstack.{layer}.", f"visual.deepstack_merger_list.{number}."
            yield from norm(gguf + "norm", hf + "norm", merged)
            yield from linear(gguf + "fc1", hf + "linear_fc1", merged, merged)
            yield from linear(gguf + "fc2", hf + "linear_fc2", width, merged)

    def _glances(self, config: Config, tower: Tower) -> Sequence[int]:
        """Layers whose results go into the language model, too.

        Raises:
            BadModelFile: There are no such layers.
        """
        found = items(self.part(config), "deepstack_visual_indexes", ())
        if any(type(layer) is not int or not 0 <= layer < tower.layers for layer in found):
            raise BadModelFile(
                "config.json: deepstack_visual_indexes names layers that there are not.",
                "Download the file again.",
            )
        return found

    @override
    def details(self, config: Config, preprocessor: Config) -> dict[str, Any]:
        tower = self.tower(config)
        glances = set(self._glances(config, tower))
        return {
            "vision.spatial_merge_size": 2,
            "vision.is_deepstack_layers": tuple(i in glances for i in range(tower.layers)),
        }


def _layer(layer: int, tower: Tower) -> Iterator[Weight]:
    gguf, hf, hidden = f"v.blk.{layer}.", f"visual.blocks.{layer}.", tower.hidden
    yield from norm(gguf + "ln1", hf + "norm1", hidden)
    yield from linear(gguf + "attn_qkv", hf + "attn.qkv", 3 * hidden, hidden)
    yield from linear(gguf + "attn_out", hf + "attn.proj", hidden, hidden)
    yield from norm(gguf + "ln2", hf + "norm2", hidden)
    yield from linear(gguf + "ffn_up", hf + "mlp.linear_fc1", tower.inner, hidden)
    yield from linear(gguf + "ffn_down", hf + "mlp.linear_fc2", hidden, tower.inner)
