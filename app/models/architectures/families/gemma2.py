"""Gemma 2: norms around both halves of a layer, soft caps, and windows in every second layer."""

from __future__ import annotations

from typing import Any, ClassVar

from typing_extensions import override

from app.core.errors import Unsupported
from app.models.architectures.base import Config, Dimensions
from app.models.architectures.decoder import SURROUNDING_NORMS
from app.models.architectures.families.gemma import Gemma
from app.models.architectures.hyperparameters import count, is_near
from app.models.config import number


class Gemma2(Gemma):
    """Gemma 2."""

    title = "Gemma 2"
    gguf = "gemma2"
    model_types = ("gemma2",)
    classes = ("Gemma2ForCausalLM",)
    layer_norms = SURROUNDING_NORMS
    defaults: ClassVar[Config] = {
        "num_key_value_heads": 4,
        "head_dim": 256,
        "max_position_embeddings": 8192,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
    }

    @override
    def metadata(self, config: Config) -> dict[str, Any]:
        size = self.dimensions(config)
        _check_scale(config, size)
        return {
            **super().metadata(config),
            "attn_logit_softcapping": number(config, "attn_logit_softcapping", 50.0),
            "final_logit_softcapping": number(config, "final_logit_softcapping", 30.0),
            "attention.sliding_window": count(config, "sliding_window", 4096),
        }


def _check_scale(config: Config, size: Dimensions) -> None:
    """llama.cpp knows by the number of layers what the queries are scaled by."""
    used = size.hidden / size.heads if size.layers == 46 else size.head
    if not is_near(number(config, "query_pre_attn_scalar", 256), used):
        raise Unsupported(
            "This Gemma 2 model scales its attention in another way than llama.cpp does.",
            "It cannot be stored as a GGUF file. Choose another model.",
            f"query_pre_attn_scalar: {config.get('query_pre_attn_scalar')}",
        )
