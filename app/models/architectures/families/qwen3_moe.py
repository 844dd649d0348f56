"""Qwen 3 with experts: Qwen3-30B-A3B and its kin."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, ClassVar

from typing_extensions import override

from app.core.errors import Unsupported
from app.models.architectures.base import Architecture, Config, Dimensions, Weight
from app.models.architectures.families.qwen3 import Qwen3
from app.models.architectures.mixture import experts, mixture_dimensions, mixture_metadata


class Qwen3Moe(Qwen3):
    """Qwen 3 with experts in every layer, or in all but some."""

    title = "Qwen3 MoE"
    gguf = "qwen3moe"
    model_types = ("qwen3_moe",)
    classes = ("Qwen3MoeForCausalLM",)
    defaults: ClassVar[Config] = {
        "num_key_value_heads": 4,
        "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
    }

    @override
    def dimensions(self, config: Config) -> Dimensions:
        return mixture_dimensions(super().dimensions(config), config)

    @override
    def feed_forward(
        self, layer: int, size: Dimensions, config: Config, stored: Collection[str]
    ) -> Iterator[Weight]:
        del config
        hf = f"model.layers.{layer}.mlp."
        router = (size.experts, size.hidden)
        yield Weight.of(f"blk.{layer}.ffn_gate_inp.weight", hf + "gate.weight", *router)
        yield from experts(layer, hf + "experts.", size, stored)

    @override
    def notes(self, config: Config) -> tuple[str, ...]:
        refuse_dense_layers(self, config)
        return super().notes(config)

    @override
    def metadata(self, config: Config) -> dict[str, Any]:
        return {**super().metadata(config), **mixture_metadata(self.dimensions(config))}


def refuse_dense_layers(family: Architecture, config: Config) -> None:
    """Refuse mixtures with some plain layers, which llama.cpp does not have for Qwen.

    Raises:
        Unsupported: It is one.
    """
    if config.get("mlp_only_layers") or (config.get("decoder_sparse_step") or 1) != 1:
        raise Unsupported(
            f"This {family.title} model has some layers without experts, "
            "which llama.cpp does not know.",
            "It cannot be stored as a GGUF file. Choose another model.",
        )
