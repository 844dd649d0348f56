"""Seed-OSS: Qwen 2's layout with heads of their own width."""

from __future__ import annotations

from typing import ClassVar

from app.models.architectures.base import Config
from app.models.architectures.decoder import QKV, Decoder


class SeedOss(Decoder):
    """Seed-OSS. GGUF calls the second norm after what it follows."""

    title = "Seed-OSS"
    gguf = "seed_oss"
    model_types = ("seed_oss",)
    classes = ("SeedOssForCausalLM",)
    maybe_biased = QKV | {"attn_output"}
    layer_norms = (
        ("attn_norm", "input_layernorm"),
        ("post_attention_norm", "post_attention_layernorm"),
    )
    defaults: ClassVar[Config] = {
        "num_key_value_heads": 8,
        "head_dim": 128,
        "max_position_embeddings": 524288,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
    }
