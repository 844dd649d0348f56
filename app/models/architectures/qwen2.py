"""Qwen 1.5, 2 and 2.5: biases on queries, keys and values, none elsewhere."""

from __future__ import annotations

from app.models.architectures.base import Architecture, Pairing
from app.models.architectures.decoder import DECODER, QKV, biases
from app.models.architectures.window import used_window

QWEN2 = Architecture(
    title="Qwen2",
    gguf="qwen2",
    model_type="qwen2",
    classes=("Qwen2ForCausalLM",),
    pairing=Pairing.HALVES,
    weights=(*DECODER, *biases(QKV, optional=False)),
    defaults={
        "num_key_value_heads": 32,
        "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
    },
    notes=used_window,
)
