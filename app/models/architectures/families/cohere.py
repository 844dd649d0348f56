"""Command R: attention and feed-forward side by side, behind one norm without a bias."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from typing_extensions import override

from app.core.errors import Unsupported
from app.models.architectures.base import Config, Dimensions, Weight
from app.models.architectures.decoder import Decoder
from app.models.architectures.hyperparameters import count
from app.models.architectures.window import windowed_layers
from app.models.config import number

_LAYERS_WITH_HEAD_NORMS = 64  # llama.cpp knows Command R+ by its depth


class Cohere(Decoder):
    """Command R and R+, Aya. Hugging Face rotates neighbours here, as llama.cpp does."""

    title = "Command R"
    gguf = "command-r"
    model_types: ClassVar[tuple[str, ...]] = ("cohere",)
    classes: ClassVar[tuple[str, ...]] = ("CohereForCausalLM",)
    layer_norm = "layer_norm_eps"
    layer_norms = (("attn_norm", "input_layernorm"),)
    defaults: ClassVar[Config] = {
        "num_key_value_heads": None,
        "max_position_embeddings": 8192,
        "layer_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
    }

    @override
    def attention(self, layer: int, size: Dimensions, config: Config) -> Iterator[Weight]:
        yield from super().attention(layer, size, config)
        if config.get("use_qk_norm"):
            hf, gguf = f"model.layers.{layer}.self_attn.", f"blk.{layer}."
            yield from self.norm(gguf + "attn_q_norm", hf + "q_norm", size.heads, size.head)
            yield from self.norm(gguf + "attn_k_norm", hf + "k_norm", size.kv_heads, size.head)

    @override
    def metadata(self, config: Config) -> dict[str, Any]:
        entries = super().metadata(config)
        if bool(config.get("use_qk_norm")) != (entries["block_count"] >= _LAYERS_WITH_HEAD_NORMS):
            raise Unsupported(
                "llama.cpp assumes norms on queries and keys in this kind of model exactly from "
                f"{_LAYERS_WITH_HEAD_NORMS} layers on; this one is different.",
                "It cannot be stored as a GGUF file. Choose another model.",
            )
        # The config of the first models tells 8192; they were trained on more.
        context = count(config, "model_max_length", entries["context_length"])
        return {
            **entries,
            "context_length": context,
            "logit_scale": number(config, "logit_scale", 0.0625),
            "rope.scaling.type": "none",
        }


class Cohere2(Cohere):
    """Command R7B and A: windows and positions in three of four layers."""

    title = "Command A"
    gguf = "cohere2"
    model_types = ("cohere2",)
    classes = ("Cohere2ForCausalLM",)
    defaults: ClassVar[Config] = {**Cohere.defaults, "layer_norm_eps": 1e-5}

    @override
    def metadata(self, config: Config) -> dict[str, Any]:
        entries = Decoder.metadata(self, config)
        interval = config.get("sliding_window_pattern") or 4
        windowed = windowed_layers(config, entries["block_count"], interval)
        return {
            **entries,
            "logit_scale": number(config, "logit_scale", 0.0625),
            "attention.sliding_window": count(config, "sliding_window", 4096),
            "attention.sliding_window_pattern": windowed,
            "rope.scaling.type": "none",
        }
