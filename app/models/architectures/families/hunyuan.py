"""Hunyuan, dense: norms on heads behind the rotation, contexts stretched by a larger base."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from typing_extensions import override

from app.models.architectures.base import Config, Dimensions, Weight
from app.models.architectures.decoder import Decoder
from app.models.architectures.rope import Rope
from app.models.config import number


class Hunyuan(Decoder):
    """Hunyuan 0.5B to 7B."""

    title = "Hunyuan"
    gguf = "hunyuan-dense"
    model_types: ClassVar[tuple[str, ...]] = ("hunyuan_v1_dense",)
    classes: ClassVar[tuple[str, ...]] = ("HunYuanDenseV1ForCausalLM",)
    defaults: ClassVar[Config] = {
        "num_key_value_heads": None,
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
    }

    @override
    def attention(self, layer: int, size: Dimensions, config: Config) -> Iterator[Weight]:
        yield from super().attention(layer, size, config)
        hf, gguf = f"model.layers.{layer}.self_attn.", f"blk.{layer}."
        yield from self.norm(gguf + "attn_q_norm", hf + "query_layernorm", size.head)
        yield from self.norm(gguf + "attn_k_norm", hf + "key_layernorm", size.head)

    @override
    def rope(self, config: Config) -> Rope:
        given = config.get("rope_parameters") or config.get("rope_scaling") or {}
        if isinstance(given, dict) and given.get("alpha"):
            # NTK-aware: one larger base for all lengths; "factor" and "type" say nothing then.
            theta = number({**config, **given}, "rope_theta", self.defaults["rope_theta"])
            head = self.dimensions(config).head
            return Rope(theta * number(given, "alpha") ** (head / (head - 2)))
        return super().rope(config)
