"""OLMo 2 and 3: norms behind attention and feed-forward, and over all queries and keys at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from typing_extensions import override

from app.models.architectures.base import Config, Dimensions, Weight
from app.models.architectures.decoder import BEHIND_NORMS, Decoder
from app.models.architectures.hyperparameters import count
from app.models.architectures.window import windowed_layers


class Olmo2(Decoder):
    """OLMo 2."""

    title = "OLMo 2"
    gguf = "olmo2"
    model_types: ClassVar[tuple[str, ...]] = ("olmo2",)
    classes: ClassVar[tuple[str, ...]] = ("Olmo2ForCausalLM",)
    layer_norms = BEHIND_NORMS
    defaults: ClassVar[Config] = {
        "num_key_value_heads": None,
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-5,
        "rope_theta": 500000.0,
        "tie_word_embeddings": False,
    }

    @override
    def attention(self, layer: int, size: Dimensions, config: Config) -> Iterator[Weight]:
        yield from super().attention(layer, size, config)
        hf, gguf = f"model.layers.{layer}.self_attn.", f"blk.{layer}."
        yield from self.norm(gguf + "attn_q_norm", hf + "q_norm", size.queries)
        yield from self.norm(gguf + "attn_k_norm", hf + "k_norm", size.keys)


class Olmo3(Olmo2):
    """OLMo 3: three of four layers look back a window only."""

    title = "OLMo 3"
    model_types = ("olmo3",)
    classes = ("Olmo3ForCausalLM",)

    @override
    def metadata(self, config: Config) -> dict[str, Any]:
        layers = self.dimensions(config).layers
        return {
            **super().metadata(config),
            "attention.sliding_window": count(config, "sliding_window", 4096),
            "attention.sliding_window_pattern": windowed_layers(config, layers, 4),
        }
