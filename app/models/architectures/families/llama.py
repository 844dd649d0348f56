"""Llama 2 and 3, and the many models built like them (SmolLM 1 and 2, Yi, Vicuna, ...)."""

from __future__ import annotations

from typing import ClassVar

from app.models.architectures.base import Config
from app.models.architectures.decoder import ALL, Decoder


class Llama(Decoder):
    """Llama."""

    title = "Llama"
    gguf = "llama"
    model_types = ("llama",)
    classes = ("LlamaForCausalLM", "LLaMAForCausalLM")
    pairs_neighbours = True
    maybe_biased = ALL
    defaults: ClassVar[Config] = {
        "num_key_value_heads": None,
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
    }
