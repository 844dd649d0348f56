"""MPT: no biases, no positions but a bias by distance."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, ClassVar

from typing_extensions import override

from app.core.errors import Unsupported
from app.models.architectures.base import Architecture, Config, Dimensions, Weight
from app.models.architectures.hyperparameters import count
from app.models.config import number, section


class Mpt(Architecture):
    """MPT 7B and 30B."""

    title = "MPT"
    gguf = "mpt"
    model_types = ("mpt",)
    classes = ("MptForCausalLM", "MPTForCausalLM")
    spellings = (("transformer.", "transformer."),)
    defaults: ClassVar[Config] = {"tie_word_embeddings": True}

    @override
    def dimensions(self, config: Config) -> Dimensions:
        hidden, heads = count(config, "d_model"), count(config, "n_heads")
        inner = count(config, "expansion_ratio", 4) * hidden
        layers, vocabulary = count(config, "n_layers"), count(config, "vocab_size")
        return Dimensions(layers, hidden, inner, heads, heads, max(1, hidden // heads), vocabulary)

    @override
    def weights(self, config: Config, stored: Collection[str]) -> Iterator[Weight]:
        size = self.dimensions(config)
        hidden = size.hidden
        yield Weight.of("token_embd.weight", "transformer.wte.weight", size.vocabulary, hidden)
        yield Weight.of("output_norm.weight", "transformer.norm_f.weight", hidden)
        for layer in range(size.layers):
            hf, gguf = f"transformer.blocks.{layer}.", f"blk.{layer}."
            yield Weight.of(gguf + "attn_norm.weight", hf + "norm_1.weight", hidden)
            yield Weight.of(gguf + "ffn_norm.weight", hf + "norm_2.weight", hidden)
            for name, matrix, rows, row in (
                ("attn_qkv", "attn.Wqkv", 3 * hidden, hidden),
                ("attn_output", "attn.out_proj", hidden, hidden),
                ("ffn_up", "ffn.up_proj", size.inner, hidden),
                ("ffn_down", "ffn.down_proj", hidden, size.inner),
            ):
                yield Weight.of(f"{gguf}{name}.weight", f"{hf}{matrix}.weight", rows, row)

    @override
    def metadata(self, config: Config) -> dict[str, Any]:
        size = self.dimensions(config)
        attention = section(config, "attn_config", {})
        if attention.get("qk_ln") or attention.get("alibi") is False:
            raise Unsupported(
                "This MPT model computes its attention in a way that is not supported.",
                "Choose another model.",
                f"attn_config: {dict(attention)}",
            )
        entries = {
            "block_count": size.layers,
            "context_length": count(config, "max_seq_len", 2048),
            "embedding_length": size.hidden,
            "feed_forward_length": size.inner,
            "attention.head_count": size.heads,
            "attention.layer_norm_epsilon": 1e-5,
            "attention.max_alibi_bias": number(attention, "alibi_bias_max", 8.0),
        }
        if attention.get("clip_qkv") is not None:
            entries["attention.clamp_kqv"] = number(attention, "clip_qkv")
        return entries
