"""Mixtures of experts: a router, and stacks of small feed-forward parts.

GGUF keeps the matrices of all experts of a layer in one tensor (experts, out, in). Checkpoints have
a tensor for each expert, or stacks of their own in which gate and up are joined.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

from app.core.errors import BadModelFile
from app.models.architectures.base import Config, Dimensions, Source, Weight
from app.models.architectures.changes import Part, Stacked
from app.models.architectures.hyperparameters import count, spelled

_MOST_EXPERTS = 4096
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
_USED = ("num_experts_per_tok", "num_experts_per_token", "top_k_experts", "moe_k", "moe_topk")


@dataclass(frozen=True, slots=True)
class ExpertNames:
    """How a checkpoint calls the matrices of its experts."""

    gate: str = "gate_proj"
    up: str = "up_proj"
    down: str = "down_proj"


USUAL = ExpertNames()

SOFTMAX, SIGMOID = 1, 2
"""llama.cpp's numbers for what a router's answers go through, `expert_gating_func`."""


def mixture_dimensions(
    size: Dimensions, config: Config, inner: str = "moe_intermediate_size"
) -> Dimensions:
    """Add the sizes of a mixture; `inner` names the field with the width of one expert.

    Raises:
        BadModelFile: One is missing or out of bounds.
    """
    number = count(config, spelled(config, *_EXPERTS))
    if number > _MOST_EXPERTS:
        raise BadModelFile(
            f"config.json: {number} experts are too many.",
            "The model's description is damaged. Download it again.",
        )
    return replace(
        size,
        experts=number,
        used_experts=count(config, spelled(config, *_USED)),
        expert_inner=count(config, inner),
    )


def mixture_metadata(size: Dimensions) -> dict[str, Any]:
    """The entries of a GGUF file about experts."""
    return {
        "expert_count": size.experts,
        "expert_used_count": size.used_experts,
        "expert_feed_forward_length": size.expert_inner,
    }


def experts(
    layer: int, hf: str, size: Dimensions, stored: Collection[str], names: ExpertNames = USUAL
) -> Iterator[Weight]:
    """The stacks of a layer.

    Args:
        layer: Its number.
        hf: What the experts' names start with, "model.layers.0.mlp.experts." for example.
        size: The model's.
        stored: Names of the checkpoint's tensors, which show how it stacks them.
        names: How it calls single matrices.
    """
    gguf, inner, hidden = f"blk.{layer}.ffn_", size.expert_inner, size.hidden
    fused = hf + "gate_up_proj"
    if fused in stored or f"{fused}.weight" in stored:
        end = "" if fused in stored else ".weight"
        both = Source(fused + end, (size.experts, 2 * inner, hidden))
        yield Weight(gguf + "gate_exps.weight", (both,), Part(0, inner))
        yield Weight(gguf + "up_exps.weight", (both,), Part(inner, 2 * inner))
        stack = (size.experts, hidden, inner)
        yield Weight.of(gguf + "down_exps.weight", f"{hf}{names.down}{end}", *stack)
        return
    for kind, name, shape in (
        ("gate", names.gate, (inner, hidden)),
        ("up", names.up, (inner, hidden)),
        ("down", names.down, (hidden, inner)),
    ):
        sources = tuple(Source(f"{hf}{i}.{name}.weight", shape) for i in range(size.experts))
        yield Weight(f"{gguf}{kind}_exps.weight", sources, Stacked())


def shared_experts(layer: int, hf: str, size: Dimensions, inner: int) -> Iterator[Weight]:
    """The matrices of the experts that every token goes through, `inner` wide together."""
    gguf = f"blk.{layer}.ffn_"
    if inner:
        yield Weight.of(gguf + "gate_shexp.weight", hf + "gate_proj.weight", inner, size.hidden)
        yield Weight.of(gguf + "up_shexp.weight", hf + "up_proj.weight", inner, size.hidden)
        yield Weight.of(gguf + "down_shexp.weight", hf + "down_proj.weight", size.hidden, inner)
