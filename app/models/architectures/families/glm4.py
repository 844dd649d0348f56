"""GLM-4 (0414) and GLM-4.1V's text part: joined gate and up, norms around both halves."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import ClassVar

from typing_extensions import override

from app.models.architectures.base import Config, Dimensions, Weight
from app.models.architectures.decoder import QKV, Decoder


class Glm4(Decoder):
    """GLM-4. Hugging Face rotates neighbours here, as llama.cpp does."""

    title = "GLM-4"
    gguf = "glm4"
    model_types = ("glm4",)
    classes = ("Glm4ForCausalLM",)
    maybe_biased = QKV
    rotated_share = 0.5
    layer_norms = (
        ("attn_norm", "input_layernorm"),
        ("post_attention_norm", "post_self_attn_layernorm"),
        ("ffn_norm", "post_attention_layernorm"),
        ("post_ffw_norm", "post_mlp_layernorm"),
    )
    defaults: ClassVar[Config] = {
        "num_key_value_heads": 2,
        "head_dim": 128,
        "max_position_embeddings": 131072,
        "rms_norm_eps": 1.5625e-07,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
    }

    @override
    def feed_forward(
        self, layer: int, size: Dimensions, config: Config, stored: Collection[str]
    ) -> Iterator[Weight]:
        hf = f"model.layers.{layer}.mlp."
        yield from self.matrix(layer, "ffn_up", hf + "gate_up_proj", 2 * size.inner, size.hidden)
        yield from self.matrix(layer, "ffn_down", hf + "down_proj", size.hidden, size.inner)
