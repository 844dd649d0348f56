"""Falcon 7B, 40B and 180B: attention and feed-forward side by side, few keys for many queries."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from app.core.errors import Unsupported
from app.models.architectures.base import Architecture, Config, Dimensions, Weight
from app.models.architectures.hyperparameters import checked, count, epsilon, spelled
from app.models.architectures.reordering import Reordered
from app.models.config import number

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class ByGroup(Reordered):
    """Rows go from groups (queries, their key, their value) to all queries, keys, values."""

    groups: int
    head: int
    """Elements of a head."""

    @override
    def order(self, rows: int) -> Tensor:
        import torch

        numbers = torch.arange(rows).view(self.groups, -1, self.head)
        parts = (numbers[:, :-2], numbers[:, -2], numbers[:, -1])
        return torch.cat([part.flatten() for part in parts])


class Falcon(Architecture):
    """Falcon 1."""

    title = "Falcon"
    gguf = "falcon"
    model_types = ("falcon",)
    classes = ("FalconForCausalLM", "RWForCausalLM")
    spellings = (("transformer.", "transformer."),)
    defaults: ClassVar[Config] = {"tie_word_embeddings": True}

    @override
    def dimensions(self, config: Config) -> Dimensions:
        hidden = count(config, "hidden_size")
        heads = count(config, spelled(config, "num_attention_heads", "n_head"))
        layers = count(config, spelled(config, "num_hidden_layers", "n_layer"))
        groups = 1
        if config.get("new_decoder_architecture") or config.get("multi_query") is False:
            groups = count(config, spelled(config, "num_kv_heads", "n_head_kv"), heads)
        vocabulary = count(config, "vocab_size")
        inner = count(config, "ffn_hidden_size", 4 * hidden)
        head = max(1, hidden // heads)
        return checked(Dimensions(layers, hidden, inner, heads, groups, head, vocabulary))

    @override
    def weights(self, config: Config, stored: Collection[str]) -> Iterator[Weight]:
        size = self.dimensions(config)
        hidden, vocabulary = size.hidden, size.vocabulary
        hf = "transformer."
        yield Weight.of("token_embd.weight", hf + "word_embeddings.weight", vocabulary, hidden)
        for end in ("weight", "bias"):
            yield Weight.of(f"output_norm.{end}", f"{hf}ln_f.{end}", hidden)
        if not self.is_tied(config):
            yield Weight.of("output.weight", "lm_head.weight", vocabulary, hidden)
        for layer in range(size.layers):
            yield from self._layer(layer, size, config)

    def _layer(self, layer: int, size: Dimensions, config: Config) -> Iterator[Weight]:
        hf, gguf, hidden = f"transformer.h.{layer}.", f"blk.{layer}.", size.hidden
        norms = [("attn_norm", "input_layernorm")]
        if config.get("new_decoder_architecture") and config.get("num_ln_in_parallel_attn") != 1:
            norms = [("attn_norm", "ln_mlp"), ("attn_norm_2", "ln_attn")]
        for name, norm in norms:
            for end in ("weight", "bias"):
                yield Weight.of(f"{gguf}{name}.{end}", f"{hf}{norm}.{end}", hidden)
        rows, change = size.queries + 2 * size.keys, ByGroup(size.kv_heads, size.head)
        joined = hf + "self_attention.query_key_value.weight"
        yield Weight.of(gguf + "attn_qkv.weight", joined, rows, hidden, change=change)
        for name, matrix, height, row in (
            ("attn_output", "self_attention.dense", hidden, hidden),
            ("ffn_up", "mlp.dense_h_to_4h", size.inner, hidden),
            ("ffn_down", "mlp.dense_4h_to_h", hidden, size.inner),
        ):
            yield Weight.of(f"{gguf}{name}.weight", f"{hf}{matrix}.weight", height, row)

    @override
    def metadata(self, config: Config) -> dict[str, Any]:
        if config.get("alibi") or config.get("bias") or config.get("parallel_attn") is False:
            raise Unsupported(
                "llama.cpp has Falcon without biases, with rotated positions and parallel halves "
                "only; this model is different.",
                "It cannot be stored as a GGUF file. Choose another model.",
            )
        size = self.dimensions(config)
        return {
            "block_count": size.layers,
            "context_length": count(config, "max_position_embeddings", 2048),
            "embedding_length": size.hidden,
            "feed_forward_length": size.inner,
            "attention.head_count": size.heads,
            "attention.head_count_kv": size.kv_heads,
            "attention.layer_norm_epsilon": epsilon(config, "layer_norm_epsilon", 1e-5),
            "rope.freq_base": number(config, "rope_theta", 10000.0),
            "tensor_data_layout": "jploski",
        }
