"""Phi 1 and 2: attention and feed-forward side by side, biases everywhere."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import ClassVar

from typing_extensions import override

from app.models.architectures.base import OUTPUT, Config, Dimensions, Weight
from app.models.architectures.decoder import ALL, Decoder


class Phi2(Decoder):
    """Phi 1, 1.5 and 2."""

    title = "Phi 2"
    gguf = "phi2"
    model_types = ("phi",)
    classes = ("PhiForCausalLM",)
    activations = frozenset({"gelu_new", "gelu_pytorch_tanh"})
    biased = ALL
    layer_norm = "layer_norm_eps"
    layer_norms = (("attn_norm", "input_layernorm"),)
    norm_biased = True
    attention_output = "dense"
    rotated_share = 0.5
    defaults: ClassVar[Config] = {
        "num_key_value_heads": None,
        "max_position_embeddings": 2048,
        "layer_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
    }

    @override
    def around(self, size: Dimensions, config: Config) -> Iterator[Weight]:
        embedding = (size.vocabulary, size.hidden)
        yield Weight.of("token_embd.weight", "model.embed_tokens.weight", *embedding)
        yield from self.norm("output_norm", "model.final_layernorm", size.hidden)
        yield Weight.of(OUTPUT, "lm_head.weight", *embedding)
        yield Weight.of("output.bias", "lm_head.bias", size.vocabulary)

    @override
    def feed_forward(
        self, layer: int, size: Dimensions, config: Config, stored: Collection[str]
    ) -> Iterator[Weight]:
        hf = f"model.layers.{layer}.mlp."
        yield from self.matrix(layer, "ffn_up", hf + "fc1", size.inner, size.hidden)
        yield from self.matrix(layer, "ffn_down", hf + "fc2", size.hidden, size.inner)
