"""Llama 4: experts in every layer or every second one, chunked attention in three of four."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, ClassVar

from typing_extensions import override

from app.core.errors import Unsupported
from app.models.architectures.base import Config, Dimensions, Source, Weight
from app.models.architectures.changes import Part, Turned
from app.models.architectures.decoder import Decoder
from app.models.architectures.hyperparameters import count
from app.models.architectures.mixture import (
    mixture_dimensions,
    mixture_metadata,
    shared_experts,
)

_CHUNK, _INTERVAL = 8192, 4  # fixed in llama.cpp
_EXPERTS_WITHOUT_NORM = 128  # Maverick, by its number of experts


class Llama4(Decoder):
    """Llama 4, the text part. Hugging Face rotates neighbours here, as llama.cpp does."""

    title = "Llama 4"
    gguf = "llama4"
    model_types = ("llama4_text",)
    classes = ("Llama4ForCausalLM",)
    defaults: ClassVar[Config] = {
        "num_key_value_heads": 8,
        "head_dim": 128,
        "max_position_embeddings": 131072,
        "rms_norm_eps": 1e-5,
        "rope_theta": 500000.0,
        "tie_word_embeddings": False,
    }

    @override
    def dimensions(self, config: Config) -> Dimensions:
        # "intermediate_size" is an expert's width here.
        plain = super().dimensions(
            {**config, "intermediate_size": config.get("intermediate_size_mlp")}
        )
        return mixture_dimensions(plain, config, "intermediate_size")

    @override
    def feed_forward(
        self, layer: int, size: Dimensions, config: Config, stored: Collection[str]
    ) -> Iterator[Weight]:
        hf, gguf = f"model.layers.{layer}.feed_forward.", f"blk.{layer}.ffn_"
        hidden, inner = size.hidden, size.inner
        if (layer + 1) % count(config, "interleave_moe_layer_step", 1):
            yield from self.matrix(layer, "ffn_gate", hf + "gate_proj", inner, hidden)
            yield from self.matrix(layer, "ffn_up", hf + "up_proj", inner, hidden)
            yield from self.matrix(layer, "ffn_down", hf + "down_proj", hidden, inner)
            return
        yield Weight.of(gguf + "gate_inp.weight", hf + "router.weight", size.experts, hidden)
        number, inner = size.experts, size.expert_inner
        both = Source(hf + "experts.gate_up_proj", (number, hidden, 2 * inner))
        yield Weight(gguf + "gate_exps.weight", (both,), Turned(Part(0, inner)))
        yield Weight(gguf + "up_exps.weight", (both,), Turned(Part(inner, 2 * inner)))
        down = hf + "experts.down_proj"
        yield Weight.of(gguf + "down_exps.weight", down, number, inner, hidden, change=Turned())
        yield from shared_experts(layer, hf + "shared_expert.", size, inner)

    @override
    def metadata(self, config: Config) -> dict[str, Any]:
        size = self.dimensions(config)
        _check(config, size)
        return {
            **super().metadata(config),
            **mixture_metadata(size),
            "interleave_moe_layer_step": count(config, "interleave_moe_layer_step", 1),
        }


def _check(config: Config, size: Dimensions) -> None:
    usual = [int((layer + 1) % _INTERVAL != 0) for layer in range(size.layers)]
    rotated = config.get("no_rope_layers") or usual
    wanted = {
        "no_rope_layers": rotated == usual,
        "attention_chunk_size": config.get("attention_chunk_size", _CHUNK) == _CHUNK,
        "attn_temperature_tuning": bool(config.get("attn_temperature_tuning", True)),
        "use_qk_norm": config.get("use_qk_norm", True) is (size.experts != _EXPERTS_WITHOUT_NORM),
    }
    odd = [key for key, is_usual in wanted.items() if not is_usual]
    if odd:
        raise Unsupported(
            "This Llama 4 model computes its attention in another way than llama.cpp does.",
            "It cannot be stored as a GGUF file. Choose another model.",
            f"{odd[0]}: {config.get(odd[0])}",
        )
