"""GLM-4.5, 4.6 and 4.7: many experts and a shared one, the first layers plain."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, ClassVar

from typing_extensions import override

from app.models.architectures.base import Config, Dimensions, Weight
from app.models.architectures.decoder import QKV, Decoder
from app.models.architectures.families.deepseek import routing_metadata
from app.models.architectures.hyperparameters import count
from app.models.architectures.mixture import (
    SIGMOID,
    experts,
    mixture_dimensions,
    mixture_metadata,
    shared_experts,
)


class Glm4Moe(Decoder):
    """GLM-4.5 and its kin."""

    title = "GLM-4 MoE"
    gguf = "glm4moe"
    model_types = ("glm4_moe",)
    classes = ("Glm4MoeForCausalLM",)
    maybe_biased = QKV
    rotated_share = 0.5
    layer_norms = (
        ("attn_norm", "input_layernorm"),
        ("post_attention_norm", "post_attention_layernorm"),
    )
    defaults: ClassVar[Config] = {
        "num_key_value_heads": 8,
        "head_dim": 128,
        "max_position_embeddings": 131072,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
    }

    @override
    def dimensions(self, config: Config) -> Dimensions:
        return mixture_dimensions(super().dimensions(config), config)

    @override
    def attention(self, layer: int, size: Dimensions, config: Config) -> Iterator[Weight]:
        yield from super().attention(layer, size, config)
        if config.get("use_qk_norm"):
            hf, gguf = f"model.layers.{layer}.self_attn.", f"blk.{layer}."
            yield from self.norm(gguf + "attn_q_norm", hf + "q_norm", size.head)
            yield from self.norm(gguf + "attn_k_norm", hf + "k_norm", size.head)

    @override
    def feed_forward(
        self, layer: int, size: Dimensions, config: Config, stored: Collection[str]
    ) -> Iterator[Weight]:
        if layer < _dense(config):
            yield from super().feed_forward(layer, size, config, stored)
            return
        hf, gguf = f"model.layers.{layer}.mlp.", f"blk.{layer}."
        router = (size.experts, size.hidden)
        yield Weight.of(gguf + "ffn_gate_inp.weight", hf + "gate.weight", *router)
        correction = hf + "gate.e_score_correction_bias"
        yield Weight.of(gguf + "exp_probs_b.bias", correction, size.experts)
        yield from experts(layer, hf + "experts.", size, stored)
        shared = count(config, "n_shared_experts", 1, least=0) * size.expert_inner
        yield from shared_experts(layer, hf + "shared_experts.", size, shared)

    @override
    def metadata(self, config: Config) -> dict[str, Any]:
        return {
            **super().metadata(config),
            **mixture_metadata(self.dimensions(config)),
            **routing_metadata(config, SIGMOID, normalised=True),
            "expert_shared_count": count(config, "n_shared_experts", 1, least=0),
            "leading_dense_block_count": _dense(config),
        }


def _dense(config: Config) -> int:
    """How many layers at the start have no experts."""
    return count(config, "first_k_dense_replace", 1, least=0)
