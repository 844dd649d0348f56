"""LFM2: short convolutions between a few layers with attention, dense or with experts."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, ClassVar

from typing_extensions import override

from app.core.errors import BadModelFile
from app.models.architectures.base import OUTPUT, Config, Dimensions, Weight
from app.models.architectures.changes import Flattened
from app.models.architectures.decoder import Decoder
from app.models.architectures.hyperparameters import count, spelled
from app.models.architectures.mixture import (
    SIGMOID,
    ExpertNames,
    experts,
    mixture_dimensions,
    mixture_metadata,
)
from app.models.config import flag, number

_NAMES = ExpertNames(gate="w1", up="w3", down="w2")


class Lfm2(Decoder):
    """LFM2, dense."""

    title = "LFM2"
    gguf = "lfm2"
    model_types: ClassVar[tuple[str, ...]] = ("lfm2",)
    classes: ClassVar[tuple[str, ...]] = ("Lfm2ForCausalLM", "LFM2ForCausalLM")
    layer_norms = (("attn_norm", "operator_norm"), ("ffn_norm", "ffn_norm"))
    attention_output = "out_proj"
    defaults: ClassVar[Config] = {
        "num_key_value_heads": 8,
        "max_position_embeddings": 128000,
        "rms_norm_eps": 1e-5,
        "rope_theta": 1000000.0,
        "tie_word_embeddings": True,
    }

    @override
    def dimensions(self, config: Config) -> Dimensions:
        return super().dimensions({**config, "intermediate_size": _inner(config)})

    @override
    def around(self, size: Dimensions, config: Config) -> Iterator[Weight]:
        embedding = (size.vocabulary, size.hidden)
        yield Weight.of("token_embd.weight", "model.embed_tokens.weight", *embedding)
        yield from self.norm("token_embd_norm", "model.embedding_norm", size.hidden)
        if not self.is_tied(config):
            yield Weight.of(OUTPUT, "lm_head.weight", *embedding)

    @override
    def attention(self, layer: int, size: Dimensions, config: Config) -> Iterator[Weight]:
        gguf, hidden = f"blk.{layer}.", size.hidden
        if with_attention(config, size.layers)[layer]:
            yield from super().attention(layer, size, config)
            hf = f"model.layers.{layer}.self_attn."
            yield from self.norm(gguf + "attn_q_norm", hf + "q_layernorm", size.head)
            yield from self.norm(gguf + "attn_k_norm", hf + "k_layernorm", size.head)
            return
        hf, kernel = f"model.layers.{layer}.conv.", count(config, "conv_L_cache", 3)
        gguf += "shortconv."
        name, change = hf + "conv.weight", Flattened()
        yield Weight.of(gguf + "conv.weight", name, hidden, 1, kernel, change=change)
        yield Weight.of(gguf + "in_proj.weight", hf + "in_proj.weight", 3 * hidden, hidden)
        yield Weight.of(gguf + "out_proj.weight", hf + "out_proj.weight", hidden, hidden)

    @override
    def feed_forward(
        self, layer: int, size: Dimensions, config: Config, stored: Collection[str]
    ) -> Iterator[Weight]:
        hf = f"model.layers.{layer}.feed_forward."
        yield from self.matrix(layer, "ffn_gate", hf + "w1", size.inner, size.hidden)
        yield from self.matrix(layer, "ffn_up", hf + "w3", size.inner, size.hidden)
        yield from self.matrix(layer, "ffn_down", hf + "w2", size.hidden, size.inner)

    @override
    def metadata(self, config: Config) -> dict[str, Any]:
        renamed = {**config, "rms_norm_eps": config.get("norm_eps")}
        entries, size = super().metadata(renamed), self.dimensions(config)
        entries["attention.head_count_kv"] = tuple(
            size.kv_heads if attention else 0 for attention in with_attention(config, size.layers)
        )
        entries["shortconv.l_cache"] = count(config, "conv_L_cache", 3)
        return entries


class Lfm2Moe(Lfm2):
    """LFM2 with experts."""

    title = "LFM2 MoE"
    gguf = "lfm2moe"
    model_types = ("lfm2_moe",)
    classes = ("Lfm2MoeForCausalLM",)

    @override
    def dimensions(self, config: Config) -> Dimensions:
        plain = super().dimensions({"block_auto_adjust_ff_dim": False, **config})
        return mixture_dimensions(plain, config)

    @override
    def feed_forward(
        self, layer: int, size: Dimensions, config: Config, stored: Collection[str]
    ) -> Iterator[Weight]:
        if layer < count(config, "num_dense_layers", 2, least=0):
            yield from super().feed_forward(layer, size, config, stored)
            return
        hf, gguf = f"model.layers.{layer}.feed_forward.", f"blk.{layer}."
        router = (size.experts, size.hidden)
        yield Weight.of(gguf + "ffn_gate_inp.weight", hf + "gate.weight", *router)
        yield Weight.of(gguf + "exp_probs_b.bias", hf + "expert_bias", size.experts)
        yield from experts(layer, hf + "experts.", size, stored, _NAMES)

    @override
    def metadata(self, config: Config) -> dict[str, Any]:
        return {
            **super().metadata(config),
            **mixture_metadata(self.dimensions(config)),
            "expert_gating_func": SIGMOID,
            "leading_dense_block_count": count(config, "num_dense_layers", 2, least=0),
        }


def with_attention(config: Config, layers: int) -> list[bool]:
    """For each layer, whether it has attention instead of a convolution."""
    kinds = config.get("layer_types")
    if kinds is None and isinstance(config.get("full_attn_idxs"), list):
        return [layer in config["full_attn_idxs"] for layer in range(layers)]
    if not isinstance(kinds, list) or len(kinds) != layers:
        raise BadModelFile(
            f"config.json: layer_types does not list the kinds of {layers} layers.",
            "The model's description is damaged. Download it again.",
        )
    return [kind == "full_attention" for kind in kinds]


def _inner(config: Config) -> int:
    """Width of the feed-forward part; the first configs name what it is computed from."""
    inner = count(config, spelled(config, "block_ff_dim", "intermediate_size"))
    if not flag(config, "block_auto_adjust_ff_dim", True):
        return inner
    step = count(config, "block_multiple_of", 256)
    wanted = int(number(config, "block_ffn_dim_multiplier", 1.0) * int(2 * inner / 3))
    return step * -(-wanted // step)
