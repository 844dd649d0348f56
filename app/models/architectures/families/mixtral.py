"""Mixtral: Mistral with 8 experts, run by llama.cpp as Llama with experts."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, ClassVar

from typing_extensions import override

from app.models.architectures.base import Config, Dimensions, Weight
from app.models.architectures.families.mistral import Mistral
from app.models.architectures.mixture import (
    ExpertNames,
    experts,
    mixture_dimensions,
    mixture_metadata,
)

_NAMES = ExpertNames(gate="w1", up="w3", down="w2")


class Mixtral(Mistral):
    """Mixtral."""

    title = "Mixtral"
    model_types = ("mixtral",)
    classes = ("MixtralForCausalLM",)
    defaults: ClassVar[Config] = {
        "num_key_value_heads": 8,
        "max_position_embeddings": 131072,
        "rms_norm_eps": 1e-5,
        "rope_theta": 1000000.0,
        "tie_word_embeddings": False,
    }

    @override
    def dimensions(self, config: Config) -> Dimensions:
        return mixture_dimensions(super().dimensions(config), config, "intermediate_size")

    @override
    def feed_forward(
        self, layer: int, size: Dimensions, config: Config, stored: Collection[str]
    ) -> Iterator[Weight]:
        hf = f"model.layers.{layer}."
        part = "mlp." if f"{hf}mlp.gate.weight" in stored else "block_sparse_moe."
        gate = f"blk.{layer}.ffn_gate_inp.weight"
        yield Weight.of(gate, f"{hf}{part}gate.weight", size.experts, size.hidden)
        yield from experts(layer, f"{hf}{part}experts.", size, stored, _NAMES)

    @override
    def metadata(self, config: Config) -> dict[str, Any]:
        entries = {**super().metadata(config), **mixture_metadata(self.dimensions(config))}
        del entries["expert_feed_forward_length"]  # llama.cpp takes feed_forward_length here
        return entries
