"""Bloom: no positions but a bias by distance, and a norm behind the embedding."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, ClassVar

from typing_extensions import override

from app.models.architectures.base import Architecture, Config, Dimensions, Weight
from app.models.architectures.changes import AS_IS
from app.models.architectures.hyperparameters import count, epsilon, spelled
from app.models.architectures.reordering import QueriesKeysValues


class Bloom(Architecture):
    """Bloom and Bloomz."""

    title = "Bloom"
    gguf = "bloom"
    model_types = ("bloom",)
    classes = ("BloomForCausalLM",)
    spellings = (("transformer.", "transformer."), ("transformer.", ""))
    defaults: ClassVar[Config] = {"tie_word_embeddings": True}

    @override
    def dimensions(self, config: Config) -> Dimensions:
        hidden = count(config, spelled(config, "hidden_size", "n_embed"))
        heads, layers = count(config, "n_head"), count(config, "n_layer")
        head, vocabulary = max(1, hidden // heads), count(config, "vocab_size")
        return Dimensions(layers, hidden, 4 * hidden, heads, heads, head, vocabulary)

    @override
    def weights(self, config: Config, stored: Collection[str]) -> Iterator[Weight]:
        size = self.dimensions(config)
        hf, hidden, vocabulary = "transformer.", size.hidden, size.vocabulary
        yield Weight.of("token_embd.weight", hf + "word_embeddings.weight", vocabulary, hidden)
        for end in ("weight", "bias"):
            name = f"{hf}word_embeddings_layernorm.{end}"
            yield Weight.of(f"token_embd_norm.{end}", name, hidden)
            yield Weight.of(f"output_norm.{end}", f"{hf}ln_f.{end}", hidden)
        if not self.is_tied(config):
            yield Weight.of("output.weight", "lm_head.weight", vocabulary, hidden)
        for layer in range(size.layers):
            yield from _layer(layer, size)

    @override
    def metadata(self, config: Config) -> dict[str, Any]:
        size = self.dimensions(config)
        return {
            "block_count": size.layers,
            "context_length": count(config, "seq_length", 2048),
            "embedding_length": size.hidden,
            "feed_forward_length": size.inner,
            "attention.head_count": size.heads,
            "attention.head_count_kv": size.heads,
            "attention.layer_norm_epsilon": epsilon(config, "layer_norm_epsilon", 1e-5),
        }


def _layer(layer: int, size: Dimensions) -> Iterator[Weight]:
    hf, gguf, hidden = f"transformer.h.{layer}.", f"blk.{layer}.", size.hidden
    for name, norm in (("attn_norm", "input_layernorm"), ("ffn_norm", "post_attention_layernorm")):
        for end in ("weight", "bias"):
            yield Weight.of(f"{gguf}{name}.{end}", f"{hf}{norm}.{end}", hidden)
    for name, matrix, rows, row in (
        ("attn_qkv", "self_attention.query_key_value", 3 * hidden, hidden),
        ("attn_output", "self_attention.dense", hidden, hidden),
        ("ffn_up", "mlp.dense_h_to_4h", size.inner, hidden),
        ("ffn_down", "mlp.dense_4h_to_h", hidden, size.inner),
    ):
        change = QueriesKeysValues(size.heads, size.head) if name == "attn_qkv" else AS_IS
        stored = hf + matrix
        yield Weight.of(f"{gguf}{name}.weight", f"{stored}.weight", rows, row, change=change)
        yield Weight.of(f"{gguf}{name}.bias", f"{stored}.bias", rows, change=change)
