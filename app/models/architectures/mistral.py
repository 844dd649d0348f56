"""Mistral 7B, Mistral Nemo and their kin: llama.cpp runs them as Llama."""

from __future__ import annotations

from app.models.architectures.base import Architecture, Config, Pairing
from app.models.architectures.decoder import DECODER
from app.models.architectures.window import window_note


def _notes(config: Config) -> tuple[str, ...]:
    return window_note(config.get("sliding_window", 4096), config)


MISTRAL = Architecture(
    title="Mistral",
    gguf="llama",
    model_type="mistral",
    classes=("MistralForCausalLM",),
    pairing=Pairing.NEIGHBOURS,
    weights=DECODER,
    defaults={
        "num_key_value_heads": 8,
        "max_position_embeddings": 131072,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
    },
    notes=_notes,
)
