"""Ministral 3: Llama's layout, with attention that cools down as texts grow longer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from typing_extensions import override

from app.models.architectures.base import Config
from app.models.architectures.decoder import Decoder
from app.models.architectures.families.deepseek import latent_rope
from app.models.architectures.rope import Rope
from app.models.config import number, section


class Ministral3(Decoder):
    """Ministral 3 and Mistral Large 3's kin, the text part."""

    title = "Ministral 3"
    gguf = "mistral3"
    model_types = ("ministral3",)
    classes = ("Ministral3ForCausalLM",)
    pairs_neighbours = True
    defaults: ClassVar[Config] = {
        "num_key_value_heads": 8,
        "head_dim": 128,
        "max_position_embeddings": 262144,
        "rms_norm_eps": 1e-5,
        "rope_theta": 1000000.0,
        "tie_word_embeddings": False,
    }

    @override
    def rope(self, config: Config) -> Rope:
        rope = latent_rope(config, self.defaults["rope_theta"])
        return replace(rope, log_multiplier=10 * rope.log_multiplier)

    @override
    def metadata(self, config: Config) -> dict[str, Any]:
        beta = section(config, "rope_parameters", {}).get("llama_4_scaling_beta")
        entries = super().metadata(config)
        if beta is not None:
            given = section(config, "rope_parameters")
            entries["attention.temperature_scale"] = number(given, "llama_4_scaling_beta")
        return entries
