"""DeepSeek V2 and V3, Kimi K2, GLM-4.7 Flash: keys and values from one latent vector a token.

llama.cpp multiplies the queries with the keys' half of the expansion instead of expanding the
keys, so that this half is stored a head at a time and turned; it calls this one key head.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from app.core.errors import Unsupported
from app.models.architectures.base import Config, Dimensions, Weight
from app.models.architectures.changes import Change, Reader, Shape, whole
from app.models.architectures.decoder import Decoder
from app.models.architectures.hyperparameters import count, is_near
from app.models.architectures.mixture import (
    SIGMOID,
    SOFTMAX,
    experts,
    mixture_dimensions,
    mixture_metadata,
    shared_experts,
)
from app.models.architectures.rope import Rope
from app.models.config import flag, number

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class LatentPart(Change):
    """Some rows of every head of the expansion: (heads * rows, rank) to (heads, part, rank)."""

    heads: int
    start: int
    stop: int
    turned: bool
    """Whether each head's part is stored as (rank, part)."""

    @override
    def shape(self, sources: Sequence[Shape]) -> Shape:
        part, rank = self.stop - self.start, sources[0][1]
        return (self.heads, rank, part) if self.turned else (self.heads, part, rank)

    @override
    def rows(self, sources: Sequence[Reader], start: int, stop: int) -> Tensor:
        # All heads together are a small matrix; see the paper's ranks.
        part = self._part(whole(sources[0]))
        return part.reshape(-1, part.shape[-1])[start:stop]

    @override
    def fill(self, result: Reader, source: int, out: Tensor) -> None:
        self._part(out).copy_(whole(result))

    @override
    def columns(self, importance: Tensor) -> Tensor | None:
        return None if self.turned else importance

    def _part(self, expansion: Tensor) -> Tensor:
        heads = expansion.view(self.heads, -1, expansion.shape[-1])
        part = heads[:, self.start : self.stop]
        return part.transpose(1, 2) if self.turned else part


class DeepSeekV2(Decoder):
    """DeepSeek V2. Hugging Face rotates neighbours here, as llama.cpp does."""

    title = "DeepSeek V2"
    gguf = "deepseek2"
    model_types: ClassVar[tuple[str, ...]] = ("deepseek_v2",)
    classes: ClassVar[tuple[str, ...]] = ("DeepseekV2ForCausalLM",)
    gating: ClassVar[int] = SOFTMAX
    normalised: ClassVar[bool] = False
    """Whether the weights of the chosen experts add up to 1, where config.json is silent."""
    partial = True
    defaults: ClassVar[Config] = {
        "num_key_value_heads": None,
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
        "n_shared_experts": 2,
        "first_k_dense_replace": 0,
    }

    @override
    def dimensions(self, config: Config) -> Dimensions:
        head = count(config, "qk_nope_head_dim") + count(config, "qk_rope_head_dim")
        size = super().dimensions({**config, "head_dim": head})
        return mixture_dimensions(replace(size, kv_heads=size.heads), config)

    @override
    def attention(self, layer: int, size: Dimensions, config: Config) -> Iterator[Weight]:
        hf, gguf, hidden = f"model.layers.{layer}.self_attn.", f"blk.{layer}.", size.hidden
        if config.get("q_lora_rank"):
            rank = count(config, "q_lora_rank")
            yield from self.matrix(layer, "attn_q_a", hf + "q_a_proj", rank, hidden)
            yield from self.norm(gguf + "attn_q_a_norm", hf + "q_a_layernorm", rank)
            yield from self.matrix(layer, "attn_q_b", hf + "q_b_proj", size.queries, rank)
        else:
            yield from self.matrix(layer, "attn_q", hf + "q_proj", size.queries, hidden)
        rank, turned = count(config, "kv_lora_rank"), count(config, "qk_rope_head_dim")
        joined = hf + "kv_a_proj_with_mqa"
        yield from self.matrix(layer, "attn_kv_a_mqa", joined, rank + turned, hidden)
        yield from self.norm(gguf + "attn_kv_a_norm", hf + "kv_a_layernorm", rank)
        plain, value = size.head - turned, count(config, "v_head_dim")
        rows = size.heads * (plain + value)
        for kind, part in (
            ("k", LatentPart(size.heads, 0, plain, turned=True)),
            ("v", LatentPart(size.heads, plain, plain + value, turned=False)),
        ):
            name = f"{gguf}attn_{kind}_b.weight"
            yield Weight.of(name, hf + "kv_b_proj.weight", rows, rank, change=part)
        output = hf + "o_proj"
        yield from self.matrix(layer, "attn_output", output, hidden, size.heads * value)

    @override
    def feed_forward(
        self, layer: int, size: Dimensions, config: Config, stored: Collection[str]
    ) -> Iterator[Weight]:
        if layer < self._dense(config):
            yield from super().feed_forward(layer, size, config, stored)
            return
        hf, gguf = f"model.layers.{layer}.mlp.", f"blk.{layer}."
        router = (size.experts, size.hidden)
        yield Weight.of(gguf + "ffn_gate_inp.weight", hf + "gate.weight", *router)
        correction = hf + "gate.e_score_correction_bias"
        yield Weight.of(gguf + "exp_probs_b.bias", correction, size.experts, optional=True)
        yield from experts(layer, hf + "experts.", size, stored)
        shared = self._shared(config) * size.expert_inner
        yield from shared_experts(layer, hf + "shared_experts.", size, shared)

    @override
    def metadata(self, config: Config) -> dict[str, Any]:
        size = self.dimensions(config)
        rank, turned = count(config, "kv_lora_rank"), count(config, "qk_rope_head_dim")
        entries = {
            **super().metadata(config),
            **mixture_metadata(size),
            **routing_metadata(config, self.gating, normalised=self.normalised),
            "expert_shared_count": self._shared(config),
            "attention.head_count_kv": 1,
            "attention.key_length": rank + turned,
            "attention.value_length": rank,
            "attention.key_length_mla": size.head,
            "attention.value_length_mla": count(config, "v_head_dim"),
            "attention.kv_lora_rank": rank,
            "leading_dense_block_count": self._dense(config),
        }
        if config.get("q_lora_rank"):
            entries["attention.q_lora_rank"] = count(config, "q_lora_rank")
        return entries

    def _dense(self, config: Config) -> int:
        """How many layers at the start have no experts."""
        key = "first_k_dense_replace"
        return count(config, key, self.defaults[key], least=0)

    def _shared(self, config: Config) -> int:
        """Experts that every token goes through."""
        return count(config, "n_shared_experts", self.defaults["n_shared_experts"], least=0)

    @override
    def rotated(self, config: Config) -> int:
        return count(config, "qk_rope_head_dim")

    @override
    def rope(self, config: Config) -> Rope:
        return latent_rope(config, self.defaults["rope_theta"])


class DeepSeekV3(DeepSeekV2):
    """DeepSeek V3 and R1, Kimi K2."""

    title = "DeepSeek V3"
    model_types: ClassVar[tuple[str, ...]] = ("deepseek_v3", "kimi_k2")
    classes: ClassVar[tuple[str, ...]] = ("DeepseekV3ForCausalLM",)
    gating = SIGMOID
    normalised = True
    defaults: ClassVar[Config] = {
        **DeepSeekV2.defaults,
        "n_shared_experts": 1,
        "first_k_dense_replace": 3,
    }


class Glm47Flash(DeepSeekV3):
    """GLM-4.7 Flash."""

    title = "GLM-4.7 Flash"
    model_types = ("glm4_moe_lite",)
    classes = ("Glm4MoeLiteForCausalLM",)


def routing_metadata(config: Config, gating: int, *, normalised: bool) -> dict[str, Any]:
    """How a router's answers become weights of experts."""
    entries: dict[str, Any] = {
        "expert_weights_scale": number(config, "routed_scaling_factor", 1.0),
        "expert_weights_norm": flag(config, "norm_topk_prob", normalised),
        "expert_gating_func": gating,
    }
    groups = count(config, "n_group", 1)
    if groups > 1:
        entries["expert_group_count"] = groups
        entries["expert_group_used_count"] = count(config, "topk_group", 1)
    return entries


def latent_rope(config: Config, theta: float) -> Rope:
    """YaRN whose temperature is told by two numbers, equal in all models that llama.cpp runs.

    Raises:
        Unsupported: They are not.
    """
    given = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if not isinstance(given, Mapping) or "mscale_all_dim" not in given:
        return Rope.from_config(config, theta, partial=True)
    whole_head = number(given, "mscale_all_dim")
    if not is_near(number(given, "mscale", 1.0), whole_head):
        raise Unsupported(
            "This model uses a variant of YaRN that llama.cpp does not have for it.",
            "Choose a model without it.",
            f"rope parameters: {given}",
        )
    known = {key: value for key, value in given.items() if not key.startswith("mscale")}
    rope = Rope.from_config({**config, "rope_parameters": known}, theta, partial=True)
    return replace(rope, log_multiplier=0.1 * whole_head)
