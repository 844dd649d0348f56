"""OLMo 1: norms without weights, clipped queries, keys and values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from typing_extensions import override

from app.models.architectures.base import OUTPUT, Config, Dimensions, Weight
from app.models.architectures.decoder import Decoder
from app.models.config import number


class Olmo(Decoder):
    """OLMo 1 and 1.7."""

    title = "OLMo"
    gguf = "olmo"
    model_types = ("olmo",)
    classes = ("OlmoForCausalLM", "OLMoForCausalLM")
    pairs_neighbours = True
    layer_norms = ()
    defaults: ClassVar[Config] = {
        "num_key_value_heads": None,
        "max_position_embeddings": 2048,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
    }

    @override
    def around(self, size: Dimensions, config: Config) -> Iterator[Weight]:
        embedding = (size.vocabulary, size.hidden)
        yield Weight.of("token_embd.weight", "model.embed_tokens.weight", *embedding)
        if not self.is_tied(config):
            yield Weight.of(OUTPUT, "lm_head.weight", *embedding)

    @override
    def norm_metadata(self, config: Config) -> dict[str, Any]:
        entries = {"attention.layer_norm_epsilon": 1e-5}
        if config.get("clip_qkv") is not None:
            entries["attention.clamp_kqv"] = number(config, "clip_qkv")
        return entries
