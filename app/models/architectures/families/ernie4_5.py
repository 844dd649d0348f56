"""ERNIE 4.5, dense. Hugging Face rotates neighbours here, as llama.cpp does."""

from __future__ import annotations

from typing import ClassVar

from app.models.architectures.base import Config
from app.models.architectures.decoder import ALL, Decoder


class Ernie45(Decoder):
    """ERNIE 4.5."""

    title = "ERNIE 4.5"
    gguf = "ernie4_5"
    model_types: ClassVar[tuple[str, ...]] = ("ernie4_5",)
    classes: ClassVar[tuple[str, ...]] = ("Ernie4_5ForCausalLM", "Ernie4_5_ForCausalLM")
    maybe_biased = ALL
    defaults: ClassVar[Config] = {
        "num_key_value_heads": 2,
        "head_dim": 128,
        "max_position_embeddings": 131072,
        "rms_norm_eps": 1e-5,
        "rope_theta": 500000.0,
        "tie_word_embeddings": True,
    }
