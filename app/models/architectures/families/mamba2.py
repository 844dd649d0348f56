"""Mamba 2: a state of fixed size in every layer, and no attention."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, ClassVar

from typing_extensions import override

from app.core.errors import Unsupported
from app.models.architectures.base import Architecture, Config, Dimensions, Weight
from app.models.architectures.hyperparameters import count, epsilon
from app.models.architectures.mamba import Mamba


class Mamba2(Architecture):
    """Mamba 2 and Codestral Mamba."""

    title = "Mamba 2"
    gguf = "mamba2"
    model_types = ("mamba2",)
    classes = ("Mamba2ForCausalLM",)
    spellings = (("backbone.", "backbone."), ("backbone.", "model.backbone."))
    defaults: ClassVar[Config] = {"tie_word_embeddings": False}

    @override
    def dimensions(self, config: Config) -> Dimensions:
        layers, hidden = count(config, "num_hidden_layers"), count(config, "hidden_size")
        vocabulary = count(config, "vocab_size")
        return Dimensions(layers, hidden, 1, heads=1, kv_heads=1, head=2, vocabulary=vocabulary)

    @override
    def weights(self, config: Config, stored: Collection[str]) -> Iterator[Weight]:
        size, mamba = self.dimensions(config), _sizes(config)
        embedding = (size.vocabulary, size.hidden)
        yield Weight.of("token_embd.weight", "backbone.embeddings.weight", *embedding)
        yield Weight.of("output_norm.weight", "backbone.norm_f.weight", size.hidden)
        if not self.is_tied(config):
            yield Weight.of("output.weight", "lm_head.weight", *embedding)
        for layer in range(size.layers):
            hf = f"backbone.layers.{layer}."
            yield Weight.of(f"blk.{layer}.attn_norm.weight", hf + "norm.weight", size.hidden)
            yield from mamba.weights(layer, hf + "mixer.")

    @override
    def metadata(self, config: Config) -> dict[str, Any]:
        size, mamba = self.dimensions(config), _sizes(config)
        if mamba.inner != count(config, "expand", 2) * size.hidden or config.get("use_bias"):
            raise Unsupported(
                "llama.cpp has Mamba 2 without biases and with heads that fill its width only.",
                "It cannot be stored as a GGUF file. Choose another model.",
            )
        return {
            "block_count": size.layers,
            "context_length": 2**20,  # there is no limit
            "embedding_length": size.hidden,
            "feed_forward_length": 0,
            "attention.head_count": 0,
            "attention.layer_norm_rms_epsilon": epsilon(config, "layer_norm_epsilon", 1e-5),
            "vocab_size": size.vocabulary,
            **mamba.metadata(),
        }


def _sizes(config: Config) -> Mamba:
    renamed = {
        "mamba_n_heads": config.get("num_heads", 128),
        "mamba_d_head": config.get("head_dim", 64),
        "mamba_d_state": config.get("state_size", 128),
        "mamba_n_groups": config.get("n_groups", 8),
        "mamba_d_conv": config.get("conv_kernel", 4),
    }
    return Mamba.of(renamed, count(config, "hidden_size"))
