"""Llama 2 and 3, and the many models built like them (SmolLM 1 and 2, Yi, Vicuna, ...)."""

from __future__ import annotations

from app.models.architectures.base import Architecture, Pairing
from app.models.architectures.decoder import ALL, DECODER, biases

LLAMA = Architecture(
    title="Llama",
    gguf="llama",
    model_type="llama",
    classes=("LlamaForCausalLM", "LLaMAForCausalLM"),
    pairing=Pairing.NEIGHBOURS,
    weights=(*DECODER, *biases(ALL, optional=True)),
    defaults={
        "num_key_value_heads": None,
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
    },
)
