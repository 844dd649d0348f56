"""Granite 3: Llama with four multipliers."""

from __future__ import annotations

from typing import Any, ClassVar

from typing_extensions import override

from app.models.architectures.base import Config
from app.models.architectures.decoder import ALL, Decoder
from app.models.config import number


class Granite(Decoder):
    """Granite 3, dense."""

    title = "Granite"
    gguf = "granite"
    model_types: ClassVar[tuple[str, ...]] = ("granite",)
    classes: ClassVar[tuple[str, ...]] = ("GraniteForCausalLM",)
    pairs_neighbours = True
    maybe_biased = ALL
    defaults: ClassVar[Config] = {
        "num_key_value_heads": None,
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
    }

    @override
    def metadata(self, config: Config) -> dict[str, Any]:
        return {**super().metadata(config), **multipliers(config)}


def multipliers(config: Config) -> dict[str, Any]:
    """What embeddings, attention, layers and logits are scaled by."""
    return {
        "attention.scale": number(config, "attention_multiplier", 1.0),
        "embedding_scale": number(config, "embedding_multiplier", 1.0),
        "residual_scale": number(config, "residual_multiplier", 1.0),
        "logit_scale": number(config, "logits_scaling", 1.0),
    }
