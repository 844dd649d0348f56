"""Falcon-H1: attention and Mamba side by side in every layer, with trained multipliers."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, ClassVar

from typing_extensions import override

from app.models.architectures.base import OUTPUT, Config, Dimensions, Weight
from app.models.architectures.decoder import Decoder
from app.models.architectures.mamba import Mamba, scaled
from app.models.architectures.reordering import RowsScaled
from app.models.config import number, numbers


class FalconH1(Decoder):
    """Falcon-H1. llama.cpp knows no multipliers: they go into the matrices."""

    title = "Falcon-H1"
    gguf = "falcon-h1"
    model_types = ("falcon_h1",)
    classes = ("FalconH1ForCausalLM",)
    defaults: ClassVar[Config] = {
        "num_key_value_heads": 8,
        "max_position_embeddings": 8192,
        "rms_norm_eps": 1e-5,
        "rope_theta": 100000.0,
        "tie_word_embeddings": False,
    }

    @override
    def around(self, size: Dimensions, config: Config) -> Iterator[Weight]:
        shape = (size.vocabulary, size.hidden)
        embedding, output = _times(config, "embedding"), _times(config, "lm_head")
        name = "model.embed_tokens.weight"
        yield Weight.of("token_embd.weight", name, *shape, change=scaled(embedding))
        yield from self.norm("output_norm", "model.final_layernorm", size.hidden)
        if not self.is_tied(config):
            yield Weight.of(OUTPUT, "lm_head.weight", *shape, change=scaled(output))
        elif embedding != output:  # the same numbers, each with its own multiplier
            yield Weight.of(OUTPUT, name, *shape, change=scaled(output))

    @override
    def layer(
        self, layer: int, size: Dimensions, config: Config, stored: Collection[str]
    ) -> Iterator[Weight]:
        hf, gguf, hidden = f"model.layers.{layer}.", f"blk.{layer}.", size.hidden
        yield from self.norm(gguf + "attn_norm", hf + "input_layernorm", hidden)
        # llama.cpp calls this one norm without the usual ending.
        yield Weight.of(gguf + "ffn_norm", hf + "pre_ff_layernorm.weight", hidden)
        into = _times(config, "attention_in")
        for name, matrix, rows, row, factor in (
            ("attn_q", "q_proj", size.queries, hidden, into),
            ("attn_k", "k_proj", size.keys, hidden, into * _times(config, "key")),
            ("attn_v", "v_proj", size.keys, hidden, into),
            ("attn_output", "o_proj", hidden, size.queries, _times(config, "attention_out")),
        ):
            stored = f"{hf}self_attn.{matrix}.weight"
            yield Weight.of(f"{gguf}{name}.weight", stored, rows, row, change=scaled(factor))
        yield from self._mamba(layer, size, config)
        gate, down = numbers(config, "mlp_multipliers", 2, 1.0)
        for name, rows, row, factor in (
            ("gate", size.inner, hidden, gate),
            ("up", size.inner, hidden, 1.0),
            ("down", hidden, size.inner, down),
        ):
            matrix = f"{hf}feed_forward.{name}_proj.weight"
            yield Weight.of(f"{gguf}ffn_{name}.weight", matrix, rows, row, change=scaled(factor))

    def _mamba(self, layer: int, size: Dimensions, config: Config) -> Iterator[Weight]:
        mamba = Mamba.of(config, size.hidden)
        states = mamba.groups * mamba.state
        ends, end = [], 0
        for rows in (mamba.inner, mamba.inner, states, states, mamba.heads):
            end += rows
            ends.append(end)
        into = _times(config, "ssm_in")
        factors = [into * factor for factor in numbers(config, "ssm_multipliers", 5, 1.0)]
        change = RowsScaled(tuple(zip(ends, factors, strict=True)))
        out_of = scaled(_times(config, "ssm_out"))
        hf = f"model.layers.{layer}.mamba."
        yield from mamba.weights(layer, hf, into=change, out_of=out_of)

    @override
    def metadata(self, config: Config) -> dict[str, Any]:
        mamba = Mamba.of(config, self.dimensions(config).hidden)
        return {**super().metadata(config), **mamba.metadata()}


def _times(config: Config, of: str) -> float:
    return number(config, f"{of}_multiplier", 1.0)
