"""Qwen 3, dense: norms on the heads of queries and keys, heads wider than hidden / heads."""

from __future__ import annotations

from typing import ClassVar

from typing_extensions import override

from app.models.architectures.base import Config
from app.models.architectures.decoder import Decoder
from app.models.architectures.window import used_window


class Qwen3(Decoder):
    """Qwen 3."""

    title = "Qwen3"
    gguf = "qwen3"
    model_types: ClassVar[tuple[str, ...]] = ("qwen3",)
    classes: ClassVar[tuple[str, ...]] = ("Qwen3ForCausalLM",)
    head_norms = True
    defaults: ClassVar[Config] = {
        "num_key_value_heads": 32,
        "head_dim": 128,
        "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
    }

    @override
    def notes(self, config: Config) -> tuple[str, ...]:
        return used_window(config)
