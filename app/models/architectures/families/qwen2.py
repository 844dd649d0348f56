"""Qwen 1.5, 2 and 2.5: biases on queries, keys and values, none elsewhere."""

from __future__ import annotations

from typing import ClassVar

from typing_extensions import override

from app.models.architectures.base import Config
from app.models.architectures.decoder import QKV, Decoder
from app.models.architectures.window import used_window


class Qwen2(Decoder):
    """Qwen 2."""

    title = "Qwen2"
    gguf = "qwen2"
    model_types: ClassVar[tuple[str, ...]] = ("qwen2",)
    classes: ClassVar[tuple[str, ...]] = ("Qwen2ForCausalLM",)
    biased = QKV
    defaults: ClassVar[Config] = {
        "num_key_value_heads": 32,
        "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
    }

    @override
    def notes(self, config: Config) -> tuple[str, ...]:
        return used_window(config)
