"""Nemotron-H and Nemotron 3: layers of Mamba, attention, or feed-forward alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, ClassVar

from typing_extensions import override

from app.core.errors import BadModelFile, Unsupported
from app.models.architectures.base import OUTPUT, Config, Dimensions, Source, Weight
from app.models.architectures.changes import Stacked
from app.models.architectures.decoder import Decoder
from app.models.architectures.hyperparameters import count, epsilon
from app.models.architectures.mamba import Mamba
from app.models.architectures.mixture import SIGMOID, mixture_dimensions, mixture_metadata
from app.models.config import flag, number

_LETTERS = {"M": "mamba", "*": "attention", "-": "mlp", "E": "moe"}
_NAMES = {"linear_attention": "mamba", "full_attention": "attention"}


class NemotronH(Decoder):
    """Nemotron-H, dense or with experts: llama.cpp has a name for each."""

    title = "Nemotron-H"
    gguf = "nemotron_h"
    model_types: ClassVar[tuple[str, ...]] = ("nemotron_h",)
    classes: ClassVar[tuple[str, ...]] = ("NemotronHForCausalLM",)
    spellings = (("backbone.", "backbone."), ("backbone.", "model."))
    activations = frozenset({"relu2"})
    defaults: ClassVar[Config] = {
        "num_key_value_heads": 8,
        "head_dim": 128,
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
    }
    experts_allowed: ClassVar[bool] = False

    @override
    def dimensions(self, config: Config) -> Dimensions:
        kinds = layer_kinds(config)
        size = super().dimensions({**config, "num_hidden_layers": len(kinds)})
        return mixture_dimensions(size, config) if "moe" in kinds else size

    @override
    def around(self, size: Dimensions, config: Config) -> Iterator[Weight]:
        embedding = (size.vocabulary, size.hidden)
        yield Weight.of("token_embd.weight", "backbone.embeddings.weight", *embedding)
        yield from self.norm("output_norm", "backbone.norm_f", size.hidden)
        if not self.is_tied(config):
            yield Weight.of(OUTPUT, "lm_head.weight", *embedding)

    @override
    def layer(
        self, layer: int, size: Dimensions, config: Config, stored: Collection[str]
    ) -> Iterator[Weight]:
        hf, gguf = f"backbone.layers.{layer}.", f"blk.{layer}."
        yield from self.norm(gguf + "attn_norm", hf + "norm", size.hidden)
        hf += "mixer."
        match layer_kinds(config)[layer]:
            case "mamba":
                yield from Mamba.of(config, size.hidden).weights(layer, hf)
            case "attention":
                yield from self._attention(layer, hf, size)
            case "mlp":
                yield from self.matrix(layer, "ffn_up", hf + "up_proj", size.inner, size.hidden)
                yield from self.matrix(layer, "ffn_down", hf + "down_proj", size.hidden, size.inner)
            case _:
                yield from self._experts(layer, hf, size, config)

    def _attention(self, layer: int, hf: str, size: Dimensions) -> Iterator[Weight]:
        hidden = size.hidden
        yield from self.matrix(layer, "attn_q", hf + "q_proj", size.queries, hidden)
        yield from self.matrix(layer, "attn_k", hf + "k_proj", size.keys, hidden)
        yield from self.matrix(layer, "attn_v", hf + "v_proj", size.keys, hidden)
        yield from self.matrix(layer, "attn_output", hf + "o_proj", hidden, size.queries)

    def _experts(self, layer: int, hf: str, size: Dimensions, config: Config) -> Iterator[Weight]:
        gguf, hidden, inner = f"blk.{layer}.", size.hidden, size.expert_inner
        yield Weight.of(gguf + "ffn_gate_inp.weight", hf + "gate.weight", size.experts, hidden)
        correction = hf + "gate.e_score_correction_bias"
        yield Weight.of(gguf + "exp_probs_b.bias", correction, size.experts)
        shared = _shared(config)
        for kind, rows, row in (("up", inner, hidden), ("down", hidden, inner)):
            sources = tuple(
                Source(f"{hf}experts.{i}.{kind}_proj.weight", (rows, row))
                for i in range(size.experts)
            )
            yield Weight(f"{gguf}ffn_{kind}_exps.weight", sources, Stacked())
        name = hf + "shared_experts."
        yield Weight.of(gguf + "ffn_up_shexp.weight", name + "up_proj.weight", shared, hidden)
        yield Weight.of(gguf + "ffn_down_shexp.weight", name + "down_proj.weight", hidden, shared)

    @override
    def metadata(self, config: Config) -> dict[str, Any]:
        size, kinds = self.dimensions(config), layer_kinds(config)
        self._check(config, kinds)
        small = epsilon(config, "layer_norm_epsilon", self.defaults["rms_norm_eps"])
        renamed = {**config, "hidden_act": config.get("mlp_hidden_act", "relu2")}
        inner = size.expert_inner or size.inner
        entries = {
            **super().metadata(renamed),
            **Mamba.of(config, size.hidden).metadata(),
            "attention.layer_norm_epsilon": small,
            "attention.layer_norm_rms_epsilon": small,
            "attention.head_count_kv": tuple(
                size.kv_heads if kind == "attention" else 0 for kind in kinds
            ),
            "feed_forward_length": tuple(inner if kind in {"mlp", "moe"} else 0 for kind in kinds),
            "rope.scaling.finetuned": False,  # no positions
        }
        if size.experts:
            entries |= {
                **mixture_metadata(size),
                "expert_shared_feed_forward_length": _shared(config),
                "expert_shared_count": count(config, "n_shared_experts", 1),
                "expert_weights_norm": flag(config, "norm_topk_prob", True),
                "expert_weights_scale": number(config, "routed_scaling_factor", 1.0),
                "expert_gating_func": SIGMOID,
            }
        return entries

    def _check(self, config: Config, kinds: Sequence[str]) -> None:
        mixed = {"mlp", "moe"} <= set(kinds)
        groups = count(config, "n_group", 1) > 1 and "moe" in kinds
        if mixed or groups or config.get("moe_latent_size"):
            raise Unsupported(
                "This Nemotron model is built in a way that is not supported.",
                "It cannot be stored as a GGUF file yet. Choose another model.",
                f"layers: {kinds}, n_group: {config.get('n_group')}, "
                f"moe_latent_size: {config.get('moe_latent_size')}",
            )


def layer_kinds(config: Config) -> tuple[str, ...]:
    """The kind of each layer: "mamba", "attention", "mlp" or "moe".

    Raises:
        BadModelFile: The config does not tell.
    """
    given = config.get("layers_block_type") or config.get("hybrid_override_pattern")
    if isinstance(given, str | list) and given:
        kinds = tuple(_LETTERS.get(kind, _NAMES.get(kind, kind)) for kind in map(str, given))
        if set(kinds) <= set(_LETTERS.values()):
            return kinds
    raise BadModelFile(
        "config.json does not list the kinds of layers.",
        "The model's description is damaged. Download it again.",
    )


def _shared(config: Config) -> int:
    return count(config, "moe_shared_expert_intermediate_size")
