"""Layers with the gated delta rule, between a few with gated attention: Qwen3-Next, Qwen 3.5.

Yang et al., "Gated Delta Networks", arXiv:2412.06464.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from app.core.errors import BadModelFile
from app.models.architectures.base import Config, Dimensions, Source, Weight
from app.models.architectures.changes import Change, Flattened, NegativeExponential, Shifted
from app.models.architectures.decoder import Decoder
from app.models.architectures.hyperparameters import count
from app.models.architectures.reordering import Chained, ColumnsReordered, Reordered

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Delta:
    """Sizes of a layer with the delta rule."""

    key_heads: int
    value_heads: int
    key_head: int
    value_head: int
    kernel: int

    @classmethod
    def of(cls, config: Config) -> Delta:
        """Read config.json.

        Raises:
            BadModelFile: A size is missing, or they contradict each other.
        """
        found = cls(
            count(config, "linear_num_key_heads", 16),
            count(config, "linear_num_value_heads", 32),
            count(config, "linear_key_head_dim", 128),
            count(config, "linear_value_head_dim", 128),
            count(config, "linear_conv_kernel_dim", 4),
        )
        if found.value_heads % found.key_heads:
            raise BadModelFile(
                f"config.json: {found.value_heads} value heads cannot share "
                f"{found.key_heads} key heads.",
                "The model's description is damaged. Download it again.",
            )
        return found

    @property
    def keys(self) -> int:
        """Rows of all keys."""
        return self.key_heads * self.key_head

    @property
    def values(self) -> int:
        """Rows of all values."""
        return self.value_heads * self.value_head

    @property
    def convolution(self) -> tuple[int, int, int]:
        """Shape of the kernels over queries, keys and values."""
        return (2 * self.keys + self.values, 1, self.kernel)

    @property
    def shared(self) -> int:
        """Value heads to a key head."""
        return self.value_heads // self.key_heads

    def metadata(self) -> dict[str, Any]:
        """The entries of a GGUF file, which has names for state space models only."""
        return {
            "ssm.conv_kernel": self.kernel,
            "ssm.state_size": self.key_head,
            "ssm.group_count": self.key_heads,
            "ssm.time_step_rank": self.value_heads,
            "ssm.inner_size": self.values,
        }


@dataclass(frozen=True, slots=True)
class OfKeyHeads(Reordered):
    """Rows stored by key head, (its query, key, values, gates), come together by kind."""

    delta: Delta
    gates: bool
    """Whether the gates are wanted; else queries, keys and values."""

    @override
    def order(self, rows: int) -> Tensor:
        import torch

        delta = self.delta
        values = delta.shared * delta.value_head
        numbers = torch.arange(rows).view(delta.key_heads, -1)
        parts = torch.split(numbers, [delta.key_head, delta.key_head, values, values], 1)
        return torch.cat([part.flatten() for part in (parts[3:] if self.gates else parts[:3])])


@dataclass(frozen=True, slots=True)
class ValueHeadsSpread(Reordered):
    """Value heads that share a key head stand side by side; llama.cpp wants them spread out.

    With 2 key heads, 3 value heads each: 0 1 2 3 4 5 becomes 0 3 1 4 2 5.
    """

    delta: Delta
    before: int
    """Rows in front of the values, which stay."""
    head: int
    """Rows of a value head."""

    @override
    def order(self, rows: int) -> Tensor:
        import torch

        delta = self.delta
        numbers = torch.arange(self.before, rows)
        spread = numbers.view(delta.key_heads, delta.shared, self.head).transpose(0, 1)
        return torch.cat([torch.arange(self.before), spread.flatten()])


class GatedDelta(Decoder):
    """A decoder with the delta rule in most layers; its projections are joined by key head."""

    norm_change: ClassVar[Change] = Shifted()
    head_norms = True
    rotated_share = 0.25
    layer_norms = (
        ("attn_norm", "input_layernorm"),
        ("post_attention_norm", "post_attention_layernorm"),
    )
    defaults: ClassVar[Config] = {
        "num_key_value_heads": 2,
        "head_dim": 256,
        "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
    }

    @override
    def attention(self, layer: int, size: Dimensions, config: Config) -> Iterator[Weight]:
        if not is_recurrent(config, size.layers)[layer]:
            for weight in super().attention(layer, size, config):
                if weight.gguf.endswith("attn_q.weight"):  # each query is followed by its gate
                    name = weight.sources[0].name
                    yield Weight.of(weight.gguf, name, 2 * size.queries, size.hidden)
                else:
                    yield weight
            return
        delta = Delta.of(config)
        yield from self.projections(layer, size, delta)
        yield from self.recurrence(layer, size, delta)

    def projections(self, layer: int, size: Dimensions, delta: Delta) -> Iterator[Weight]:
        """What goes into the delta rule."""
        hf, gguf = f"model.layers.{layer}.linear_attn.", f"blk.{layer}."
        rows = 2 * delta.keys + 2 * delta.values
        joined = (Source(hf + "in_proj_qkvz.weight", (rows, size.hidden)),)
        yield Weight(gguf + "attn_qkv.weight", joined, OfKeyHeads(delta, gates=False))
        yield Weight(gguf + "attn_gate.weight", joined, OfKeyHeads(delta, gates=True))
        steps = hf + "in_proj_ba.weight"
        yield Weight.of(gguf + "ssm_ba.weight", steps, 2 * delta.value_heads, size.hidden)

    def recurrence(self, layer: int, size: Dimensions, delta: Delta) -> Iterator[Weight]:
        """The delta rule itself, and what follows it."""
        hf, gguf = f"model.layers.{layer}.linear_attn.", f"blk.{layer}.ssm_"
        shape, heads = delta.convolution, delta.value_heads
        convolution = hf + "conv1d.weight"
        yield Weight.of(gguf + "conv1d.weight", convolution, *shape, change=Flattened())
        yield Weight.of(gguf + "dt.bias", hf + "dt_bias", heads)
        yield Weight.of(gguf + "a", hf + "A_log", heads, change=NegativeExponential())
        yield Weight.of(gguf + "norm.weight", hf + "norm.weight", delta.value_head)
        yield Weight.of(gguf + "out.weight", hf + "out_proj.weight", size.hidden, delta.values)

    @override
    def metadata(self, config: Config) -> dict[str, Any]:
        entries = super().metadata(config)
        recurrent = is_recurrent(config, entries["block_count"])
        return {
            **entries,
            **Delta.of(config).metadata(),
            "full_attention_interval": count(config, "full_attention_interval", 4),
            "attention.recurrent_layers": recurrent,
        }


class SpreadDelta(GatedDelta):
    """The same with projections of their own, and value heads spread out for llama.cpp."""

    @override
    def projections(self, layer: int, size: Dimensions, delta: Delta) -> Iterator[Weight]:
        hf, gguf, hidden = f"model.layers.{layer}.linear_attn.", f"blk.{layer}.", size.hidden
        heads, values, head = delta.value_heads, delta.values, delta.value_head
        for name, matrix, before, rows, rows_of_head in (
            ("attn_qkv", "in_proj_qkv", 2 * delta.keys, 2 * delta.keys + values, head),
            ("attn_gate", "in_proj_z", 0, values, head),
            ("ssm_beta", "in_proj_b", 0, heads, 1),
            ("ssm_alpha", "in_proj_a", 0, heads, 1),
        ):
            change = ValueHeadsSpread(delta, before, rows_of_head)
            stored = f"{hf}{matrix}.weight"
            yield Weight.of(f"{gguf}{name}.weight", stored, rows, hidden, change=change)

    @override
    def recurrence(self, layer: int, size: Dimensions, delta: Delta) -> Iterator[Weight]:
        by_row, by_head = (
            ValueHeadsSpread(delta, 0, delta.value_head),
            ValueHeadsSpread(delta, 0, 1),
        )
        behind = ValueHeadsSpread(delta, 2 * delta.keys, delta.value_head)
        changes: dict[str, Change] = {
            "conv1d.weight": Chained(Flattened(), behind),
            "dt.bias": by_head,
            "a": Chained(NegativeExponential(), by_head),
            "out.weight": ColumnsReordered(by_row),
        }
        for weight in super().recurrence(layer, size, delta):
            kind = weight.gguf.partition("ssm_")[2]
            yield replace(weight, change=changes.get(kind, weight.change))

    @override
    def metadata(self, config: Config) -> dict[str, Any]:
        given = config.get("rope_parameters") or {}
        sections = given.get("mrope_section") if isinstance(given, dict) else None
        # Positions in pictures turn other parts of a head; in text all parts have the same one.
        parts = (*(sections or (11, 11, 10)), 0)[:4]
        return {**super().metadata(config), "rope.dimension_sections": parts}


def is_recurrent(config: Config, layers: int) -> tuple[bool, ...]:
    """For each layer, whether it has the delta rule instead of attention.

    Raises:
        BadModelFile: The config lists the kinds of another number of layers.
    """
    kinds = config.get("layer_types")
    if kinds is None:
        interval = count(config, "full_attention_interval", 4)
        return tuple((layer + 1) % interval != 0 for layer in range(layers))
    if not isinstance(kinds, list) or len(kinds) != layers:
        raise BadModelFile(
            f"config.json: layer_types does not list the kinds of {layers} layers.",
            "The model's description is damaged. Download it again.",
        )
    return tuple(kind == "linear_attention" for kind in kinds)
