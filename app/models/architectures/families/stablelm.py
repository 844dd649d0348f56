"""StableLM 3B and StableLM 2: norms with a bias, a quarter of each head rotated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from typing_extensions import override

from app.models.architectures.base import Config, Dimensions, Source, Weight
from app.models.architectures.changes import Stacked
from app.models.architectures.decoder import QKV, Decoder


class StableLm(Decoder):
    """StableLM."""

    title = "StableLM"
    gguf = "stablelm"
    model_types = ("stablelm",)
    classes = ("StableLmForCausalLM", "StableLMEpochForCausalLM", "LlavaStableLMEpochForCausalLM")
    maybe_biased = QKV
    layer_norm = "layer_norm_eps"
    norm_biased = True
    rotated_share = 0.25
    defaults: ClassVar[Config] = {
        "num_key_value_heads": 32,
        "max_position_embeddings": 4096,
        "layer_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
    }

    @override
    def norms(self, layer: int, size: Dimensions) -> Iterator[Weight]:
        # Models with parallel halves have one norm for both.
        hf, gguf = f"model.layers.{layer}.", f"blk.{layer}."
        yield from self.norm(gguf + "attn_norm", hf + "input_layernorm", size.hidden)
        for end in ("weight", "bias"):
            name = f"{hf}post_attention_layernorm.{end}"
            yield Weight.of(f"{gguf}ffn_norm.{end}", name, size.hidden, optional=True)

    @override
    def attention(self, layer: int, size: Dimensions, config: Config) -> Iterator[Weight]:
        yield from super().attention(layer, size, config)
        if config.get("qk_layernorm"):
            for x, heads in (("q", size.heads), ("k", size.kv_heads)):
                hf = f"model.layers.{layer}.self_attn.{x}_layernorm.norms."
                sources = tuple(Source(f"{hf}{i}.weight", (size.head,)) for i in range(heads))
                yield Weight(f"blk.{layer}.attn_{x}_norm.weight", sources, Stacked())

    @override
    def metadata(self, config: Config) -> dict[str, Any]:
        parallel = config.get("use_parallel_residual", False) is True
        return {**super().metadata(config), "use_parallel_residual": parallel}
