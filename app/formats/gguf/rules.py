"""The language of recipes: rules that give some tensors another encoding than the rest.

A recipe has a base encoding and a list of rules. All rules are read in order, each may replace
what the ones before it chose; see `app.formats.gguf.recipes` for the recipes themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from app.formats.base import Preset
from app.models.gguf_header import GgufValue


@dataclass(frozen=True, slots=True)
class Shape:
    """What rules may ask about a model."""

    architecture: str
    """llama.cpp's name of its family."""
    layers: int
    sharing: int
    """Query heads that share one key head, in the first layer; 0 where it has no attention."""
    experts: int
    """Experts of a layer; 0 in a dense model."""
    tied: bool
    """Whether the embedding is the output layer, too."""
    importance: bool
    """Whether an importance matrix is at hand."""

    @classmethod
    def of(
        cls, metadata: Mapping[str, GgufValue], names: Collection[str], *, importance: bool
    ) -> Shape:
        """The shape of the model that `metadata` describes.

        Args:
            metadata: Of a GGUF file; what it does not say counts as nothing.
            names: Of all tensors.
            importance: Whether an importance matrix will be at hand.
        """
        architecture = metadata.get("general.architecture")
        family = str(architecture.value) if architecture else ""
        heads = _first_count(metadata, f"{family}.attention.head_count")
        keys = _first_count(metadata, f"{family}.attention.head_count_kv", heads)
        return cls(
            family,
            layers=_first_count(metadata, f"{family}.block_count"),
            sharing=heads // keys if keys else 0,
            experts=_first_count(metadata, f"{family}.expert_count"),
            tied="output.weight" not in names,
            importance=importance,
        )


def _first_count(metadata: Mapping[str, GgufValue], key: str, default: int = 0) -> int:
    """A number, or the first layer's where there is one a layer."""
    found = metadata.get(key)
    value = found.value if found else default
    if isinstance(value, tuple) and value:
        value = value[0]
    return value if isinstance(value, int) and value >= 0 else default


Where = Callable[[int, int], bool]
"""Whether a rule holds in a layer, given its number and the number of layers."""

When = Callable[[Shape], bool]
"""Whether a rule holds for a model."""


def everywhere(_layer: int, _layers: int) -> bool:
    """All layers."""
    return True


def first_two(layer: int, _layers: int) -> bool:
    """The first two layers."""
    return layer < 2


def first_four(layer: int, _layers: int) -> bool:
    """The first four layers."""
    return layer < 4


def first_sixteenth(layer: int, layers: int) -> bool:
    """The very first layers."""
    return layer < layers // 16


def first_eighth(layer: int, layers: int) -> bool:
    """The first layers, which hurt most."""
    return layer < layers // 8


def inner(layer: int, layers: int) -> bool:
    """All but the first and the last eighth."""
    return layers // 8 <= layer < 7 * layers // 8


def more_bits(layer: int, layers: int) -> bool:
    """The first and the last eighth, and every third layer in between."""
    return not inner(layer, layers) or (layer - layers // 8) % 3 == 2


def always(_shape: Shape) -> bool:
    """All models."""
    return True


def weighed(shape: Shape) -> bool:
    """Models with an importance matrix."""
    return shape.importance


def unweighed(shape: Shape) -> bool:
    """Models without one."""
    return not shape.importance


def shared(shape: Shape) -> bool:
    """Models whose keys and values are few, and so cheap to store well."""
    return shape.sharing >= 4


def shared_or_experts(shape: Shape) -> bool:
    """Those, and mixtures of experts, where attention is a small part."""
    return shape.sharing >= 4 or shape.experts >= 4


def eight_experts(shape: Shape) -> bool:
    """Mixtral and its like: attention is a few percent of the file."""
    return shape.experts == 8


def falcon(shape: Shape) -> bool:
    """Falcon, whose layers react in their own way."""
    return shape.architecture == "falcon"


def not_falcon(shape: Shape) -> bool:
    """All other models."""
    return not falcon(shape)


def plain(shape: Shape) -> bool:
    """Neither Falcon nor of eight experts."""
    return not falcon(shape) and not eight_experts(shape)


def stacks_are_experts(shape: Shape) -> bool:
    """Models in which whatever is a stack of matrices counts as experts."""
    return shape.architecture != "bailingmoe3"


_TINY_VALUES = {"qwen2": 80, "deci": 80, "olmo": 80, "jais2": 68}


def tiny_values(shape: Shape) -> bool:
    """The models of 70 B: eight heads share the values of one, so these are small."""
    if shape.architecture == "llama":
        return shape.layers == 80 and shape.sharing != 1
    return _TINY_VALUES.get(shape.architecture) == shape.layers


@dataclass(frozen=True, slots=True)
class Rule:
    """An exception from what the base or earlier rules say."""

    kind: str
    """Kind of tensor, see `app.formats.gguf.choice`; "" for all but the output layer."""
    encoding: str
    where: Where = everywhere
    when: When = always
    instead_of: tuple[str, ...] = ()
    """Replaces these encodings only; empty: any."""
    stacked: bool = False
    """Holds only for stacks of matrices, one an expert."""


@dataclass(frozen=True, slots=True)
class GgufRecipe:
    """A preset and how it is carried out."""

    preset: Preset
    file_type: int
    """Number of the preset in GGUF files, `general.file_type`."""
    rules: tuple[Rule, ...] = ()
    output: str = "Q6_K"
    """Encoding of the output layer, and of an embedding that serves as one."""
    counted: bool = False
    """Whether layers of the feed-forward part are counted tensor by tensor where there are
    experts, too, instead of read from the name."""

    @property
    def base(self) -> str:
        """Encoding of everything without a rule."""
        return self.preset.base
