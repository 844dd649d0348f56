"""Qwen2-VL: as Qwen2.5-VL, without windows, and with an older kind of layer.

Wang et al., "Qwen2-VL", 2024, arXiv:2409.12191.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from typing_extensions import override

from app.models.architectures.base import Config
from app.models.architectures.vision.base import Tower
from app.models.architectures.vision.families.qwen2_5_vl import Qwen25Vision
from app.models.config import whole_number


class Qwen2Vision(Qwen25Vision):
    """Qwen2-VL."""

    title: ClassVar[str] = "Qwen2-VL"
    model_types: ClassVar[tuple[str, ...]] = ("qwen2_vl",)
    projector: ClassVar[str] = "qwen2vl_merger"
    biased_norms: ClassVar[bool] = True
    defaults: ClassVar[dict[str, Any]] = {
        **Qwen25Vision.defaults,
        "embed_dim": 1280,
        "mlp_ratio": 4,
        "hidden_act": "quick_gelu",
    }

    @override
    def part(self, config: Config) -> Config:
        part = dict(super().part(config))
        part["hidden_size"] = whole_number(part, "embed_dim")  # theirs is the language model's
        part["intermediate_size"] = part["hidden_size"] * whole_number(part, "mlp_ratio")
        return part

    @override
    def feed_forward(self, tower: Tower) -> Iterator[tuple[str, str, int, int]]:
        yield "ffn_up", "fc1", tower.inner, tower.hidden
        yield "ffn_down", "fc2", tower.hidden, tower.inner

    @override
    def details(self, config: Config, preprocessor: Config) -> dict[str, Any]:
        return {}
