"""Granite 3 with experts, and Granite 4: Mamba layers between those with attention."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, ClassVar

from typing_extensions import override

from app.core.errors import BadModelFile, Unsupported
from app.models.architectures.base import Config, Dimensions, Source, Weight
from app.models.architectures.changes import Part
from app.models.architectures.families.granite import Granite
from app.models.architectures.hyperparameters import count
from app.models.architectures.mamba import Mamba
from app.models.architectures.mixture import mixture_dimensions, mixture_metadata

_ATTENTION = {"attention", "full_attention"}


class GraniteMoe(Granite):
    """Granite 3 with experts, and a shared one."""

    title = "Granite MoE"
    gguf = "granitemoe"
    model_types: ClassVar[tuple[str, ...]] = ("granitemoe", "granitemoeshared")
    classes: ClassVar[tuple[str, ...]] = ("GraniteMoeForCausalLM", "GraniteMoeSharedForCausalLM")

    @override
    def dimensions(self, config: Config) -> Dimensions:
        size = super().dimensions(config)
        if not config.get("num_local_experts"):
            return size
        return mixture_dimensions(size, config, "intermediate_size")

    @override
    def feed_forward(
        self, layer: int, size: Dimensions, config: Config, stored: Collection[str]
    ) -> Iterator[Weight]:
        hf, gguf = f"model.layers.{layer}.", f"blk.{layer}.ffn_"
        hidden, inner, number = size.hidden, size.expert_inner, size.experts
        shared = count(config, "shared_intermediate_size", 0, least=0)
        end = "_shexp" if number else ""
        if number:
            part = hf + "block_sparse_moe."
            yield Weight.of(gguf + "gate_inp.weight", part + "router.layer.weight", number, hidden)
            both = Source(part + "input_linear.weight", (number, 2 * inner, hidden))
            yield Weight(gguf + "gate_exps.weight", (both,), Part(0, inner))
            yield Weight(gguf + "up_exps.weight", (both,), Part(inner, 2 * inner))
            down = part + "output_linear.weight"
            yield Weight.of(gguf + "down_exps.weight", down, number, hidden, inner)
        if shared:
            both = Source(hf + "shared_mlp.input_linear.weight", (2 * shared, hidden))
            yield Weight(f"{gguf}gate{end}.weight", (both,), Part(0, shared))
            yield Weight(f"{gguf}up{end}.weight", (both,), Part(shared, 2 * shared))
            down = hf + "shared_mlp.output_linear.weight"
            yield Weight.of(f"{gguf}down{end}.weight", down, hidden, shared)

    @override
    def metadata(self, config: Config) -> dict[str, Any]:
        entries, size = super().metadata(config), self.dimensions(config)
        shared = count(config, "shared_intermediate_size", 0, least=0)
        if not size.experts:
            entries["feed_forward_length"] = shared
            return entries
        entries |= mixture_metadata(size)
        del entries["expert_feed_forward_length"]  # llama.cpp takes feed_forward_length here
        if shared:
            entries["expert_shared_feed_forward_length"] = shared
        return entries


class GraniteHybrid(GraniteMoe):
    """Granite 4. Without Mamba layers it is run as Granite 3 by other programs, too."""

    title = "Granite 4"
    gguf = "granitehybrid"
    model_types = ("granitemoehybrid",)
    classes = ("GraniteMoeHybridForCausalLM",)

    @override
    def layer(
        self, layer: int, size: Dimensions, config: Config, stored: Collection[str]
    ) -> Iterator[Weight]:
        yield from self.norms(layer, size)
        if self._with_attention(config, size)[layer]:
            yield from self.attention(layer, size, config)
        else:
            mamba = Mamba.of(config, size.hidden)
            yield from mamba.weights(layer, f"model.layers.{layer}.mamba.")
        yield from self.feed_forward(layer, size, config, stored)

    @override
    def metadata(self, config: Config) -> dict[str, Any]:
        size, mamba = self.dimensions(config), Mamba.of(config, self.dimensions(config).hidden)
        with_attention = self._with_attention(config, size)
        if mamba.inner != 2 * size.hidden:
            raise Unsupported(
                "llama.cpp has Granite 4 with Mamba layers of twice the width only.",
                "It cannot be stored as a GGUF file. Choose another model.",
            )
        rotated = config.get("position_embedding_type") == "rope"
        return {
            **super().metadata(config),
            **mamba.metadata(),
            "attention.head_count_kv": tuple(
                size.kv_heads if attention else 0 for attention in with_attention
            ),
            "rope.scaling.finetuned": rotated,  # llama.cpp's switch for positions in this family
        }

    def _with_attention(self, config: Config, size: Dimensions) -> list[bool]:
        kinds = config.get("layer_types") or config.get("layers_block_type")
        if not isinstance(kinds, list) or len(kinds) != size.layers:
            raise BadModelFile(
                f"config.json does not list the kinds of {size.layers} layers.",
                "The model's description is damaged. Download it again.",
            )
        return [kind in _ATTENTION for kind in kinds]
