"""Gemma 4, the text part: wider heads where layers see everything, experts beside a plain part."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from typing_extensions import override

from app.models.architectures.base import ROPE_FACTORS, Config, Dimensions, Source, Weight
from app.models.architectures.changes import AS_IS
from app.models.architectures.families.gemma3 import Gemma3
from app.models.architectures.families.gemma3n import (
    layer_embeddings,
    layer_inputs,
    layer_metadata,
)
from app.models.architectures.hyperparameters import count
from app.models.architectures.mixture import mixture_dimensions, mixture_metadata
from app.models.architectures.rope import Rope
from app.models.architectures.window import windowed_layers
from app.models.config import flag, section

_UNTURNED = 1e30  # a divisor that stops a frequency


class Gemma4(Gemma3):
    """Gemma 4. Its norms multiply with the weight itself."""

    title = "Gemma 4"
    gguf = "gemma4"
    model_types = ("gemma4_text",)
    classes = ("Gemma4ForCausalLM",)
    norm_change = AS_IS
    defaults: ClassVar[Config] = {
        "num_key_value_heads": 4,
        "head_dim": 256,
        "max_position_embeddings": 131072,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0,
        "tie_word_embeddings": True,
    }

    @override
    def dimensions(self, config: Config) -> Dimensions:
        size = super().dimensions(config)
        return mixture_dimensions(size, config) if config.get("enable_moe_block") else size

    @override
    def around(self, size: Dimensions, config: Config) -> Iterator[Weight]:
        yield from super().around(size, config)
        if config.get("hidden_size_per_layer_input"):
            yield from layer_embeddings(size, config)

    @override
    def layer(
        self, layer: int, size: Dimensions, config: Config, stored: Collection[str]
    ) -> Iterator[Weight]:
        hf, gguf = f"model.layers.{layer}.", f"blk.{layer}."
        yield from self.norms(layer, size)
        yield from self.attention(layer, self._in_layer(layer, size, config), config)
        first_shared = size.layers - count(config, "num_kv_shared_layers", 0, least=0)
        double = flag(config, "use_double_wide_mlp", False) and layer >= first_shared
        wide = replace(size, inner=2 * size.inner) if double else size
        yield from self.feed_forward(layer, wide, config, stored)
        if size.experts:
            yield from self._experts(layer, size)
        if config.get("hidden_size_per_layer_input"):
            yield from layer_inputs(layer, size, config)
            norm = hf + "post_per_layer_input_norm"
            yield from self.norm(gguf + "post_norm", norm, size.hidden)
        scale = gguf + "layer_output_scale.weight"
        yield Weight.of(scale, hf + "layer_scalar", 1, optional=True)

    @override
    def attention(self, layer: int, size: Dimensions, config: Config) -> Iterator[Weight]:
        shared = count(config, "num_kv_shared_layers", 0, least=0)
        same = flag(config, "attention_k_eq_v", False)
        borrowed = layer >= size.layers - shared
        for weight in super().attention(layer, size, config):
            kind = weight.gguf.split(".")[2]
            takes_keys = kind in {"attn_k", "attn_v", "attn_k_norm"} and borrowed
            optional = takes_keys or (kind == "attn_v" and same)
            yield replace(weight, optional=optional)

    def _experts(self, layer: int, size: Dimensions) -> Iterator[Weight]:
        hf, gguf, hidden = f"model.layers.{layer}.", f"blk.{layer}.", size.hidden
        inner, number = size.expert_inner, size.experts
        for name, norm in (
            ("pre_ffw_norm_2", "pre_feedforward_layernorm_2"),
            ("post_ffw_norm_1", "post_feedforward_layernorm_1"),
            ("post_ffw_norm_2", "post_feedforward_layernorm_2"),
        ):
            yield from self.norm(gguf + name, hf + norm, hidden)
        yield Weight.of(gguf + "ffn_gate_inp.weight", hf + "router.proj.weight", number, hidden)
        yield Weight.of(gguf + "ffn_gate_inp.scale", hf + "router.scale", hidden)
        yield Weight.of(gguf + "ffn_down_exps.scale", hf + "router.per_expert_scale", number)
        both = (Source(hf + "experts.gate_up_proj", (number, 2 * inner, hidden)),)
        yield Weight(gguf + "ffn_gate_up_exps.weight", both)
        down = hf + "experts.down_proj"
        yield Weight.of(gguf + "ffn_down_exps.weight", down, number, hidden, inner)

    def _in_layer(self, layer: int, size: Dimensions, config: Config) -> Dimensions:
        """The sizes of attention in a layer."""
        if windowed_layers(config, size.layers, 6)[layer]:
            return size
        return replace(size, head=_wide(config, size), kv_heads=_wide_keys(config, size))

    @override
    def metadata(self, config: Config) -> dict[str, Any]:
        size = self.dimensions(config)
        windowed = windowed_layers(config, size.layers, 6)
        wide, keys = _wide(config, size), _wide_keys(config, size)
        shared = count(config, "num_kv_shared_layers", 0, least=0)
        first_shared = size.layers - shared
        double = 2 if flag(config, "use_double_wide_mlp", False) else 1
        return {
            **super().metadata(config),
            **layer_metadata({"hidden_size_per_layer_input": 0, **config}),
            **(mixture_metadata(size) if size.experts else {}),
            "feed_forward_length": tuple(
                size.inner if layer < first_shared else double * size.inner
                for layer in range(size.layers)
            ),
            "attention.head_count_kv": tuple(
                size.kv_heads if window else keys for window in windowed
            ),
            "attention.key_length": wide,
            "attention.value_length": wide,
            "attention.key_length_swa": size.head,
            "attention.value_length_swa": size.head,
            "attention.sliding_window_pattern": windowed,
            "rope.dimension_count": wide,
            "rope.dimension_count_swa": size.head,
        }

    @override
    def rope(self, config: Config) -> Rope:
        given = section(section(config, "rope_parameters", {}), "full_attention", {})
        theta = {key: value for key, value in given.items() if key == "rope_theta"}
        return Rope.from_config({"rope_parameters": theta}, self.defaults["rope_theta"])

    @override
    def computed(self, config: Config) -> dict[str, tuple[float, ...]]:
        # Where a layer sees everything, only the first pairs of a head are turned.
        given = section(section(config, "rope_parameters", {}), "full_attention", {})
        pairs = _wide(config, self.dimensions(config)) // 2
        turned = int(pairs * float(given.get("partial_rotary_factor") or 1.0))
        return {ROPE_FACTORS: (1.0,) * turned + (_UNTURNED,) * (pairs - turned)}

    @override
    def check(self, config: Config, size: Dimensions) -> None:
        """Its scale of attention is 1, whatever the config says."""


def _wide(config: Config, size: Dimensions) -> int:
    """Elements of a head in layers that see everything."""
    return _of_wide_layers(config, "global_head_dim", "head_dim", size.head)


def _wide_keys(config: Config, size: Dimensions) -> int:
    """Key heads in layers that see everything."""
    field = "num_key_value_heads"
    return _of_wide_layers(config, "num_global_key_value_heads", field, size.kv_heads)


def _of_wide_layers(config: Config, key: str, field: str, default: int) -> int:
    """A size that config.json gives by a name of its own, or layer by layer."""
    if config.get(key) is not None:
        return count(config, key)
    kinds, layers = config.get("layer_types") or [], config.get("per_layer_config")
    for layer, fields in layers.items() if isinstance(layers, Mapping) else ():
        number = int(layer) if str(layer).isdecimal() else len(kinds)
        full = number < len(kinds) and kinds[number] == "full_attention"
        if full and isinstance(fields, Mapping) and fields.get(field) is not None:
            return count(fields, field)
    return default
