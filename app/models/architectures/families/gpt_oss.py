"""gpt-oss: experts with biases, attention sinks, and a window in every second layer."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, ClassVar

from typing_extensions import override

from app.models.architectures.base import Config, Dimensions, Source, Weight
from app.models.architectures.changes import ColumnPart, Part, Turned
from app.models.architectures.decoder import QKV, Decoder
from app.models.architectures.hyperparameters import count
from app.models.architectures.mixture import mixture_dimensions, mixture_metadata
from app.models.architectures.rope import Rope


class GptOss(Decoder):
    """gpt-oss 20B and 120B. Gate and up alternate: even columns are the gate's."""

    title = "gpt-oss"
    gguf = "gpt-oss"
    model_types = ("gpt_oss",)
    classes = ("GptOssForCausalLM",)
    biased = QKV | {"attn_output"}
    layer_norms = (
        ("attn_norm", "input_layernorm"),
        ("post_attention_norm", "post_attention_layernorm"),
    )
    defaults: ClassVar[Config] = {
        "num_key_value_heads": 8,
        "head_dim": 64,
        "max_position_embeddings": 131072,
        "rms_norm_eps": 1e-5,
        "rope_theta": 150000.0,
        "tie_word_embeddings": False,
    }

    @override
    def dimensions(self, config: Config) -> Dimensions:
        return mixture_dimensions(super().dimensions(config), config, "intermediate_size")

    @override
    def attention(self, layer: int, size: Dimensions, config: Config) -> Iterator[Weight]:
        yield from super().attention(layer, size, config)
        sinks = f"model.layers.{layer}.self_attn.sinks"
        yield Weight.of(f"blk.{layer}.attn_sinks.weight", sinks, size.heads)

    @override
    def feed_forward(
        self, layer: int, size: Dimensions, config: Config, stored: Collection[str]
    ) -> Iterator[Weight]:
        hf, gguf = f"model.layers.{layer}.mlp.", f"blk.{layer}.ffn_"
        yield Weight.of(gguf + "gate_inp.weight", hf + "router.weight", size.experts, size.hidden)
        yield Weight.of(gguf + "gate_inp.bias", hf + "router.bias", size.experts)
        number, inner, hidden = size.experts, size.expert_inner, size.hidden
        both = Source(hf + "experts.gate_up_proj", (number, hidden, 2 * inner))
        biases = Source(hf + "experts.gate_up_proj_bias", (number, 2 * inner))
        for kind, first in (("gate", 0), ("up", 1)):
            matrix, part = Part(first, 2 * inner, 2), ColumnPart(first, 2)
            yield Weight(f"{gguf}{kind}_exps.weight", (both,), Turned(matrix))
            yield Weight(f"{gguf}{kind}_exps.bias", (biases,), part)
        down = hf + "experts.down_proj"
        yield Weight.of(gguf + "down_exps.weight", down, number, inner, hidden, change=Turned())
        yield Weight.of(gguf + "down_exps.bias", f"{down}_bias", number, hidden)

    @override
    def rope(self, config: Config) -> Rope:
        given = config.get("rope_parameters") or config.get("rope_scaling") or {}
        # llama.cpp rounds the ends of YaRN's ramp to whole dimensions; gpt-oss does not.
        if isinstance(given, Mapping):
            given = {key: value for key, value in given.items() if key != "truncate"}
        return super().rope({**config, "rope_parameters": given})

    @override
    def metadata(self, config: Config) -> dict[str, Any]:
        return {
            **super().metadata(config),
            **mixture_metadata(self.dimensions(config)),
            "attention.sliding_window": count(config, "sliding_window", 128),
        }
