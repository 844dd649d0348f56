"""MiniCPM 1 and 2: Llama with scaled embeddings, layers and logits."""

from __future__ import annotations

from typing import Any, ClassVar

from typing_extensions import override

from app.models.architectures.base import Config
from app.models.architectures.decoder import Decoder
from app.models.config import number


class MiniCpm(Decoder):
    """MiniCPM 1 and 2, MiniCPM 4."""

    title = "MiniCPM"
    gguf = "minicpm"
    model_types = ("minicpm",)
    classes = ("MiniCPMForCausalLM",)
    pairs_neighbours = True
    defaults: ClassVar[Config] = {
        "num_key_value_heads": None,
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
    }

    @override
    def metadata(self, config: Config) -> dict[str, Any]:
        entries = super().metadata(config)
        depth = number(config, "scale_depth", 1.4)
        return {
            **entries,
            "embedding_scale": number(config, "scale_emb", 12.0),
            "residual_scale": depth / entries["block_count"] ** 0.5,
            "logit_scale": entries["embedding_length"] / number(config, "dim_model_base", 256.0),
        }
