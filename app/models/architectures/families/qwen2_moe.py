"""Qwen 1.5 and 2 with experts: a shared expert beside them, with a gate of its own."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, ClassVar

from typing_extensions import override

from app.models.architectures.base import Config, Dimensions, Weight
from app.models.architectures.changes import Flattened
from app.models.architectures.families.qwen2 import Qwen2
from app.models.architectures.families.qwen3_moe import refuse_dense_layers
from app.models.architectures.hyperparameters import count
from app.models.architectures.mixture import (
    experts,
    mixture_dimensions,
    mixture_metadata,
    shared_experts,
)


class Qwen2Moe(Qwen2):
    """Qwen 2 with experts."""

    title = "Qwen2 MoE"
    gguf = "qwen2moe"
    model_types = ("qwen2_moe",)
    classes = ("Qwen2MoeForCausalLM",)
    defaults: ClassVar[Config] = {
        "num_key_value_heads": 16,
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
        hf, gguf = f"model.layers.{layer}.mlp.", f"blk.{layer}."
        router = (size.experts, size.hidden)
        yield Weight.of(gguf + "ffn_gate_inp.weight", hf + "gate.weight", *router)
        yield from experts(layer, hf + "experts.", size, stored)
        shared, hidden = _shared(config), size.hidden
        gate = gguf + "ffn_gate_inp_shexp.weight"
        yield Weight.of(gate, hf + "shared_expert_gate.weight", 1, hidden, change=Flattened())
        yield from shared_experts(layer, hf + "shared_expert.", size, shared)

    @override
    def notes(self, config: Config) -> tuple[str, ...]:
        refuse_dense_layers(self, config)
        return super().notes(config)

    @override
    def metadata(self, config: Config) -> dict[str, Any]:
        return {
            **super().metadata(config),
            **mixture_metadata(self.dimensions(config)),
            "expert_shared_feed_forward_length": _shared(config),
        }


def _shared(config: Config) -> int:
    return count(config, "shared_expert_intermediate_size")
