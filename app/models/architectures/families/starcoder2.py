"""StarCoder 2: biases everywhere, and no gate in the feed-forward part."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import ClassVar

from typing_extensions import override

from app.models.architectures.base import Config, Dimensions, Weight
from app.models.architectures.decoder import ALL, Decoder
from app.models.architectures.window import window_note


class StarCoder2(Decoder):
    """StarCoder 2."""

    title = "StarCoder2"
    gguf = "starcoder2"
    model_types = ("starcoder2",)
    classes = ("Starcoder2ForCausalLM",)
    activations = frozenset({"gelu_pytorch_tanh", "gelu_new"})
    biased = ALL
    layer_norm = "norm_epsilon"
    norm_biased = True
    defaults: ClassVar[Config] = {
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "norm_epsilon": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
    }

    @override
    def feed_forward(
        self, layer: int, size: Dimensions, config: Config, stored: Collection[str]
    ) -> Iterator[Weight]:
        hf = f"model.layers.{layer}.mlp."
        yield from self.matrix(layer, "ffn_up", hf + "c_fc", size.inner, size.hidden)
        yield from self.matrix(layer, "ffn_down", hf + "c_proj", size.hidden, size.inner)

    @override
    def notes(self, config: Config) -> tuple[str, ...]:
        return window_note(config.get("sliding_window"), config)
