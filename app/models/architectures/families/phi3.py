"""Phi 3, 3.5 and 4: joined projections, which llama.cpp keeps joined."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, ClassVar

from typing_extensions import override

from app.models.architectures.base import Config, Dimensions, Weight
from app.models.architectures.decoder import Decoder
from app.models.architectures.hyperparameters import count
from app.models.architectures.window import window_note


class Phi3(Decoder):
    """Phi 3 and 4."""

    title = "Phi 3"
    gguf = "phi3"
    model_types = ("phi3",)
    classes = ("Phi3ForCausalLM",)
    partial = True
    defaults: ClassVar[Config] = {
        "num_key_value_heads": None,
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
    }

    @override
    def attention(self, layer: int, size: Dimensions, config: Config) -> Iterator[Weight]:
        hf, rows = f"model.layers.{layer}.self_attn.", size.queries + 2 * size.keys
        yield from self.matrix(layer, "attn_qkv", hf + "qkv_proj", rows, size.hidden)
        yield from self.matrix(layer, "attn_output", hf + "o_proj", size.hidden, size.queries)

    @override
    def feed_forward(
        self, layer: int, size: Dimensions, config: Config, stored: Collection[str]
    ) -> Iterator[Weight]:
        hf = f"model.layers.{layer}.mlp."
        yield from self.matrix(layer, "ffn_up", hf + "gate_up_proj", 2 * size.inner, size.hidden)
        yield from self.matrix(layer, "ffn_down", hf + "down_proj", size.hidden, size.inner)

    @override
    def metadata(self, config: Config) -> dict[str, Any]:
        entries = super().metadata(config)
        # Zero tells Phi 4 from the models before it, whose window llama.cpp does not apply.
        entries["attention.sliding_window"] = count(config, "sliding_window", 0, least=0)
        context = entries["context_length"]
        original = count(config, "original_max_position_embeddings", context)
        entries.setdefault("rope.scaling.original_context_length", original)
        return entries

    @override
    def notes(self, config: Config) -> tuple[str, ...]:
        return window_note(config.get("sliding_window"), config)
