"""GPT-2: positions are looked up, matrices are stored as (in, out)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, ClassVar

from typing_extensions import override

from app.models.architectures.base import Architecture, Config, Dimensions, Weight
from app.models.architectures.changes import Turned
from app.models.architectures.hyperparameters import check_activation, count, epsilon


class Gpt2(Architecture):
    """GPT-2 and what was trained from its code."""

    title = "GPT-2"
    gguf = "gpt2"
    model_types = ("gpt2",)
    classes = ("GPT2LMHeadModel",)
    spellings = (("transformer.", "transformer."), ("transformer.", ""))
    defaults: ClassVar[Config] = {"tie_word_embeddings": True}

    @override
    def dimensions(self, config: Config) -> Dimensions:
        hidden, heads = count(config, "n_embd"), count(config, "n_head")
        inner = count(config, "n_inner", 4 * hidden)
        layers, vocabulary = count(config, "n_layer"), count(config, "vocab_size")
        return Dimensions(layers, hidden, inner, heads, heads, max(1, hidden // heads), vocabulary)

    @override
    def weights(self, config: Config, stored: Collection[str]) -> Iterator[Weight]:
        size = self.dimensions(config)
        hidden = size.hidden
        hf = "transformer."
        yield Weight.of("token_embd.weight", hf + "wte.weight", size.vocabulary, hidden)
        context = count(config, "n_positions", 1024)
        yield Weight.of("position_embd.weight", hf + "wpe.weight", context, hidden)
        for end in ("weight", "bias"):
            yield Weight.of(f"output_norm.{end}", f"{hf}ln_f.{end}", hidden)
        if not self.is_tied(config):
            yield Weight.of("output.weight", "lm_head.weight", size.vocabulary, hidden)
        for layer in range(size.layers):
            yield from _layer(layer, size)

    @override
    def metadata(self, config: Config) -> dict[str, Any]:
        key = "activation_function"
        check_activation(config, {"gelu_new", "gelu_pytorch_tanh"}, self.title, key=key)
        size = self.dimensions(config)
        return {
            "block_count": size.layers,
            "context_length": count(config, "n_positions", 1024),
            "embedding_length": size.hidden,
            "feed_forward_length": size.inner,
            "attention.head_count": size.heads,
            "attention.layer_norm_epsilon": epsilon(config, "layer_norm_epsilon", 1e-5),
        }


def _layer(layer: int, size: Dimensions) -> Iterator[Weight]:
    hf, gguf, hidden = f"transformer.h.{layer}.", f"blk.{layer}.", size.hidden
    for name, norm in (("attn_norm", "ln_1"), ("ffn_norm", "ln_2")):
        for end in ("weight", "bias"):
            yield Weight.of(f"{gguf}{name}.{end}", f"{hf}{norm}.{end}", hidden)
    for name, matrix, row, rows in (
        ("attn_qkv", "attn.c_attn", hidden, 3 * hidden),
        ("attn_output", "attn.c_proj", hidden, hidden),
        ("ffn_up", "mlp.c_fc", hidden, size.inner),
        ("ffn_down", "mlp.c_proj", size.inner, hidden),
    ):
        stored = f"{hf}{matrix}.weight"
        yield Weight.of(f"{gguf}{name}.weight", stored, row, rows, change=Turned())
        yield Weight.of(f"{gguf}{name}.bias", f"{hf}{matrix}.bias", rows)
