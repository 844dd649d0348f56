"""Qwen 3, dense: norms on the heads of queries and keys, heads wider than hidden / heads."""

from __future__ import annotations

from app.models.architectures.base import Architecture, Pairing
from app.models.architectures.decoder import DECODER, HEAD_NORMS
from app.models.architectures.window import used_window

QWEN3 = Architecture(
    title="Qwen3",
    gguf="qwen3",
    model_type="qwen3",
    classes=("Qwen3ForCausalLM",),
    pairing=Pairing.HALVES,
    weights=(*DECODER, *HEAD_NORMS),
    defaults={
        "num_key_value_heads": 32,
        "head_dim": 128,
        "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
    },
    notes=used_window,
)
