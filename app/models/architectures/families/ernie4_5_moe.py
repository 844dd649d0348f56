"""ERNIE 4.5 with experts."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, ClassVar

from typing_extensions import override

from app.core.errors import Unsupported
from app.models.architectures.base import Config, Dimensions, Weight
from app.models.architectures.changes import Flattened
from app.models.architectures.families.ernie4_5 import Ernie45
from app.models.architectures.hyperparameters import count
from app.models.architectures.mixture import (
    experts,
    mixture_dimensions,
    mixture_metadata,
    shared_experts,
)


class Ernie45Moe(Ernie45):
    """ERNIE 4.5 with experts, the text part."""

    title = "ERNIE 4.5 MoE"
    gguf = "ernie4_5-moe"
    model_types = ("ernie4_5_moe",)
    classes = ("Ernie4_5_MoeForCausalLM",)
    skipped = r"^model\.mtp_"
    defaults: ClassVar[Config] = {
        "num_key_value_heads": 4,
        "max_position_embeddings": 131072,
        "rms_norm_eps": 1e-5,
        "rope_theta": 500000.0,
        "tie_word_embeddings": True,
    }

    @override
    def dimensions(self, config: Config) -> Dimensions:
        return mixture_dimensions(super().dimensions(config), config)

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
        name, change = hf + "moe_statics.e_score_correction_bias", Flattened()
        yield Weight.of(gguf + "exp_probs_b.bias", name, 1, size.experts, change=change)
        yield from experts(layer, hf + "experts.", size, stored)
        yield from shared_experts(layer, hf + "shared_experts.", size, _shared(config, size))

    @override
    def metadata(self, config: Config) -> dict[str, Any]:
        size = self.dimensions(config)
        last = count(config, "moe_layer_end_index", size.layers - 1, least=-1)
        if count(config, "moe_layer_interval", 1) != 1 or last not in {-1, size.layers - 1}:
            raise Unsupported(
                "llama.cpp has ERNIE 4.5 with experts in all layers behind the first ones only; "
                "this model is different.",
                "It cannot be stored as a GGUF file. Choose another model.",
            )
        return {
            **super().metadata(config),
            **mixture_metadata(size),
            "expert_shared_count": count(config, "moe_num_shared_experts", 0, least=0),
            "expert_shared_feed_forward_length": _shared(config, size),
            "interleave_moe_layer_step": 1,
            "leading_dense_block_count": _dense(config),
        }


def _dense(config: Config) -> int:
    return count(config, "moe_layer_start_index", 1, least=0)


def _shared(config: Config, size: Dimensions) -> int:
    return count(config, "moe_num_shared_experts", 0, least=0) * size.expert_inner
