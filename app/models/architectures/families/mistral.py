"""Mistral 7B, Mistral Nemo and their kin: llama.cpp runs them as Llama."""

from __future__ import annotations

from typing import ClassVar

from typing_extensions import override

from app.models.architectures.base import Config
from app.models.architectures.decoder import Decoder
from app.models.architectures.window import window_note


class Mistral(Decoder):
    """Mistral."""

    title = "Mistral"
    gguf = "llama"
    model_types = ("mistral",)
    classes = ("MistralForCausalLM",)
    pairs_neighbours = True
    defaults: ClassVar[Config] = {
        "num_key_value_heads": 8,
        "max_position_embeddings": 131072,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
    }

    unsaid: ClassVar[Config] = {
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 32000,
        "max_position_embeddings": 131072,
    }

    @override
    def notes(self, config: Config) -> tuple[str, ...]:
        return window_note(config.get("sliding_window", 4096), config)
