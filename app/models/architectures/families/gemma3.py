"""Gemma 3: five layers with a window and positions of their own to one without."""

from __future__ import annotations

from typing import Any, ClassVar

from typing_extensions import override

from app.core.errors import Unsupported
from app.models.architectures.base import Config, Dimensions
from app.models.architectures.decoder import SURROUNDING_NORMS
from app.models.architectures.families.gemma import Gemma
from app.models.architectures.hyperparameters import count, is_near
from app.models.architectures.rope import Rope
from app.models.config import number

_INTERVAL = 6  # fixed in llama.cpp: every sixth layer has no window


class Gemma3(Gemma):
    """Gemma 3, the text part where it sees."""

    title = "Gemma 3"
    gguf = "gemma3"
    model_types = ("gemma3_text",)
    classes: ClassVar[tuple[str, ...]] = ("Gemma3ForCausalLM", "Gemma3ForConditionalGeneration")
    head_norms = True
    layer_norms = SURROUNDING_NORMS
    defaults: ClassVar[Config] = {
        "num_key_value_heads": 4,
        "head_dim": 256,
        "max_position_embeddings": 131072,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0,
        "tie_word_embeddings": True,
    }

    unsaid: ClassVar[Config] = {
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "vocab_size": 262208,
        "max_position_embeddings": 131072,
        "sliding_window": 4096,
    }

    @override
    def rope(self, config: Config) -> Rope:
        given = config.get("rope_parameters")
        whole = given.get("full_attention") if isinstance(given, dict) else None
        if isinstance(whole, dict):
            return Rope.from_config({"rope_parameters": whole}, self.defaults["rope_theta"])
        return super().rope(config)

    @override
    def metadata(self, config: Config) -> dict[str, Any]:
        size = self.dimensions(config)
        self.check(config, size)
        entries = {
            **super().metadata(config),
            "attention.sliding_window": count(config, "sliding_window", 4096),
            "rope.freq_base_swa": _local_theta(config),
        }
        if config.get("final_logit_softcapping") is not None:
            entries["final_logit_softcapping"] = number(config, "final_logit_softcapping")
        return entries

    def check(self, config: Config, size: Dimensions) -> None:
        """Refuse attention that llama.cpp does not compute.

        Raises:
            Unsupported: It is of that kind.
        """
        used = size.hidden / size.heads if size.layers == 62 else size.head
        kinds = config.get("layer_types")
        usual = [
            "full_attention" if (layer + 1) % _INTERVAL == 0 else "sliding_attention"
            for layer in range(size.layers)
        ]
        pattern = config.get("sliding_window_pattern", _INTERVAL)
        if not is_near(number(config, "query_pre_attn_scalar", 256), used):
            odd = f"query_pre_attn_scalar: {config.get('query_pre_attn_scalar')}"
        elif kinds is not None and kinds != usual:
            odd = f"layer_types: {kinds}"
        elif kinds is None and pattern != _INTERVAL:
            odd = f"sliding_window_pattern: {pattern}"
        elif config.get("attn_logit_softcapping") is not None:
            odd = f"attn_logit_softcapping: {config['attn_logit_softcapping']}"
        else:
            return
        raise Unsupported(
            "This Gemma 3 model computes its attention in another way than llama.cpp does.",
            "It cannot be stored as a GGUF file. Choose another model.",
            odd,
        )


def _local_theta(config: Config) -> float:
    """Base of the wavelengths in layers with a window."""
    given = config.get("rope_parameters")
    local = given.get("sliding_attention") if isinstance(given, dict) else None
    if isinstance(local, dict):
        return number(local, "rope_theta", 10000.0)
    return number(config, "rope_local_base_freq", 10000.0)
