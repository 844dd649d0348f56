"""Hunyuan with experts."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from typing_extensions import override

from app.core.errors import Unsupported
from app.models.architectures.base import Config, Dimensions, Weight
from app.models.architectures.families.hunyuan import Hunyuan
from app.models.architectures.hyperparameters import count
from app.models.architectures.mixture import (
    experts,
    mixture_dimensions,
    mixture_metadata,
    shared_experts,
)


class HunyuanMoe(Hunyuan):
    """Hunyuan A13B."""

    title = "Hunyuan MoE"
    gguf = "hunyuan-moe"
    model_types = ("hunyuan_v1_moe",)
    classes = ("HunYuanMoEV1ForCausalLM",)

    @override
    def dimensions(self, config: Config) -> Dimensions:
        # transformers builds experts of the width of the dense part.
        return mixture_dimensions(super().dimensions(config), _plain(config), "intermediate_size")

    @override
    def feed_forward(
        self, layer: int, size: Dimensions, config: Config, stored: Collection[str]
    ) -> Iterator[Weight]:
        hf, gguf = f"model.layers.{layer}.mlp.", f"blk.{layer}."
        router = (size.experts, size.hidden)
        yield Weight.of(gguf + "ffn_gate_inp.weight", hf + "gate.wg.weight", *router)
        yield from experts(layer, hf + "experts.", size, stored)
        yield from shared_experts(layer, hf + "shared_mlp.", size, _shared(config, size))

    @override
    def metadata(self, config: Config) -> dict[str, Any]:
        size = self.dimensions(config)
        return {
            **super().metadata(config),
            **mixture_metadata(size),
            "expert_shared_count": count(_plain(config), "num_shared_expert", 1),
            "expert_shared_feed_forward_length": _shared(config, size),
        }


def _shared(config: Config, size: Dimensions) -> int:
    return count(_plain(config), "num_shared_expert", 1) * size.inner


def _plain(config: Config) -> Config:
    """The config with one number where it lists the same one for every layer."""
    return {**config, **{key: _only(config, key) for key in ("moe_topk", "num_shared_expert")}}


def _only(config: Config, key: str) -> Any:
    """A number that may be listed for each layer, if it is the same in all of them."""
    value = config.get(key, 1)
    if not isinstance(value, list):
        return value
    if len(set(map(str, value))) != 1:
        raise Unsupported(
            "This Hunyuan model has layers with different numbers of experts.",
            "It cannot be stored as a GGUF file. Choose another model.",
            f"{key}: {value}",
        )
    return value[0]
