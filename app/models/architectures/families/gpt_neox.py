"""GPT-NeoX and Pythia: joined projections by head, a quarter of each head rotated."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any, ClassVar

from typing_extensions import override

from app.models.architectures.base import OUTPUT, Config, Dimensions, Weight
from app.models.architectures.decoder import Decoder
from app.models.architectures.reordering import QueriesKeysValues


class GptNeoX(Decoder):
    """GPT-NeoX."""

    title = "GPT-NeoX"
    gguf = "gptneox"
    model_types = ("gpt_neox",)
    classes = ("GPTNeoXForCausalLM",)
    spellings = (("", ""),)
    activations = frozenset({"gelu", "gelu_fast", "gelu_new"})
    biased = frozenset({"attn_qkv", "attn_output", "ffn_up", "ffn_down"})
    layer_norm = "layer_norm_eps"
    norm_biased = True
    rotated_share = 0.25
    defaults: ClassVar[Config] = {
        "num_key_value_heads": None,
        "max_position_embeddings": 2048,
        "layer_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
    }

    @override
    def dimensions(self, config: Config) -> Dimensions:
        size = super().dimensions(config)
        return replace(size, kv_heads=size.heads)

    @override
    def around(self, size: Dimensions, config: Config) -> Iterator[Weight]:
        embedding = (size.vocabulary, size.hidden)
        yield Weight.of("token_embd.weight", "gpt_neox.embed_in.weight", *embedding)
        yield from self.norm("output_norm", "gpt_neox.final_layer_norm", size.hidden)
        yield Weight.of(OUTPUT, "embed_out.weight", *embedding)

    @override
    def norms(self, layer: int, size: Dimensions) -> Iterator[Weight]:
        for gguf, hf in self.layer_norms:
            yield from self.norm(
                f"blk.{layer}.{gguf}", f"gpt_neox.layers.{layer}.{hf}", size.hidden
            )

    @override
    def attention(self, layer: int, size: Dimensions, config: Config) -> Iterator[Weight]:
        hf, hidden = f"gpt_neox.layers.{layer}.attention.", size.hidden
        by_head = QueriesKeysValues(size.heads, size.head)
        joined = hf + "query_key_value"
        yield from self.matrix(layer, "attn_qkv", joined, 3 * hidden, hidden, change=by_head)
        yield from self.matrix(layer, "attn_output", hf + "dense", hidden, hidden)

    @override
    def feed_forward(
        self, layer: int, size: Dimensions, config: Config, stored: Collection[str]
    ) -> Iterator[Weight]:
        hf = f"gpt_neox.layers.{layer}.mlp."
        yield from self.matrix(layer, "ffn_up", hf + "dense_h_to_4h", size.inner, size.hidden)
        yield from self.matrix(layer, "ffn_down", hf + "dense_4h_to_h", size.hidden, size.inner)

    @override
    def metadata(self, config: Config) -> dict[str, Any]:
        if config.get("rotary_pct") is not None:
            config = {**config, "partial_rotary_factor": config["rotary_pct"]}
        parallel = config.get("use_parallel_residual", True) is True
        return {**super().metadata(config), "use_parallel_residual": parallel}
