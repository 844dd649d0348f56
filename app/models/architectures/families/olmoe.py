"""OLMoE: 64 experts in every layer, norms over all queries and keys at once."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, ClassVar

from typing_extensions import override

from app.core.errors import Unsupported
from app.models.architectures.base import Config, Dimensions, Weight
from app.models.architectures.decoder import Decoder
from app.models.architectures.mixture import experts, mixture_dimensions, mixture_metadata
from app.models.config import number


class Olmoe(Decoder):
    """OLMoE."""

    title = "OLMoE"
    gguf = "olmoe"
    model_types = ("olmoe",)
    classes = ("OlmoeForCausalLM",)
    defaults: ClassVar[Config] = {
        "num_key_value_heads": None,
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
    }

    @override
    def dimensions(self, config: Config) -> Dimensions:
        return mixture_dimensions(super().dimensions(config), config, "intermediate_size")

    @override
    def attention(self, layer: int, size: Dimensions, config: Config) -> Iterator[Weight]:
        yield from super().attention(layer, size, config)
        hf, gguf = f"model.layers.{layer}.self_attn.", f"blk.{layer}."
        yield from self.norm(gguf + "attn_q_norm", hf + "q_norm", size.queries)
        yield from self.norm(gguf + "attn_k_norm", hf + "k_norm", size.keys)

    @override
    def feed_forward(
        self, layer: int, size: Dimensions, config: Config, stored: Collection[str]
    ) -> Iterator[Weight]:
        hf, router = f"model.layers.{layer}.mlp.", (size.experts, size.hidden)
        yield Weight.of(f"blk.{layer}.ffn_gate_inp.weight", hf + "gate.weight", *router)
        yield from experts(layer, hf + "experts.", size, stored)

    @override
    def metadata(self, config: Config) -> dict[str, Any]:
        size = self.dimensions(config)
        if size.kv_heads != size.heads:
            raise Unsupported(
                "llama.cpp has OLMoE without shared keys only; this model shares them.",
                "It cannot be stored as a GGUF file. Choose another model.",
            )
        entries = {**super().metadata(config), **mixture_metadata(size)}
        del entries["expert_feed_forward_length"]  # llama.cpp takes feed_forward_length here
        if config.get("clip_qkv") is not None:
            entries["attention.clamp_kqv"] = number(config, "clip_qkv")
        return entries
