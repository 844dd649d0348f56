"""Qwen3-Next: the gated delta rule, and experts in every layer."""

from __future__ import annotations

from app.models.architectures.families.qwen2_moe import Qwen2Moe
from app.models.architectures.gated_delta import GatedDelta


class Qwen3Next(GatedDelta, Qwen2Moe):
    """Qwen3-Next."""

    title = "Qwen3-Next"
    gguf = "qwen3next"
    model_types = ("qwen3_next",)
    classes = ("Qwen3NextForCausalLM",)
    biased = frozenset()
