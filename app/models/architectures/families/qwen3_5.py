"""Qwen 3.5 and 3.6, the text part: the gated delta rule, dense or with experts."""

from __future__ import annotations

from typing import ClassVar

from app.models.architectures.base import Config
from app.models.architectures.families.qwen2_moe import Qwen2Moe
from app.models.architectures.gated_delta import SpreadDelta


class Qwen35(SpreadDelta):
    """Qwen 3.5, dense."""

    title = "Qwen 3.5"
    gguf = "qwen35"
    model_types = ("qwen3_5_text",)
    classes = ("Qwen3_5ForCausalLM",)
    defaults: ClassVar[Config] = {**SpreadDelta.defaults, "num_key_value_heads": 4}


class Qwen35Moe(SpreadDelta, Qwen2Moe):
    """Qwen 3.5 with experts."""

    title = "Qwen 3.5 MoE"
    gguf = "qwen35moe"
    model_types = ("qwen3_5_moe_text",)
    classes = ("Qwen3_5MoeForCausalLM",)
    biased = frozenset()
