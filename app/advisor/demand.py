"""What of a model matters for running it: bytes of each layer, and the shape of its cache."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from app.core.plan import Plan
from app.models.base import Checkpoint
from app.models.cache import CannotSize, Geometry, geometry_of_config, geometry_of_notes
from app.models.gguf_file import GgufFile

_LAYER = re.compile(r"(?:^blk|(?:^|\.)(?:layers|h|blocks))\.(\d+)\.")
EXPERTS = re.compile(r"_exps\.|\.experts\.")
"""Found in the names of weights that few tokens meet."""
_EMBEDDING = re.compile(r"^(?:per_layer_)?token_embd\.|embed_tokens|\.wte\.|word_embeddings")
_OUTPUT = re.compile(r"^output\.|(?:^|\.)lm_head\.|embed_out\.")
#: Parts that see pictures or hear; programs load them from a file of their own.
_PROJECTOR = re.compile(
    r"^(?:v|mm|a)\.|(?:^|\.)(?:vision_tower|vision_model|visual|audio_tower|embed_vision|"
    r"embed_audio|multi_modal_projector|mm_projector)\."
)


@dataclass(frozen=True, slots=True)
class Layer:
    """The weights of one layer."""

    nbytes: int
    experts: int = 0
    """Of those, bytes of experts of which each token uses a few."""


@dataclass(frozen=True, slots=True)
class Demand:
    """A model in one encoding, before it is placed anywhere."""

    name: str
    layers: tuple[Layer, ...]
    embedding: int
    """Bytes that stay in the computer's memory: a few rows of them are read for each token."""
    output: int
    """Bytes of what comes after the layers."""
    tied: bool
    """Whether the embedding is the output layer, too: a graphics card then needs a copy."""
    tensors: int = 0
    """How many there are; programs keep books on each."""
    projector: int = 0
    geometry: Geometry | None = None
    """None where the family is not known."""
    unknown: str = ""
    """Why there is no geometry."""

    @property
    def count(self) -> int:
        """Layers: those that have weights or a cache."""
        cached = len(self.geometry.layers) if self.geometry else 0
        return max(len(self.layers), cached)

    @property
    def weights(self) -> int:
        """Bytes of all weights but the projector's."""
        return sum(layer.nbytes for layer in self.layers) + self.embedding + self.output


def layer_of(tensor: str) -> int | None:
    """The layer that a tensor's name says it is of; None for none of the language model's."""
    found = None if _PROJECTOR.search(tensor) else _LAYER.search(tensor)
    return int(found[1]) if found else None


def demand_of_checkpoint(checkpoint: Checkpoint, name: str = "") -> Demand:
    """The demand of a model as it is stored."""
    sizes = [(info.name, info.nbytes) for info in checkpoint.tensors.values()]
    return _demand(name or checkpoint.path.name, sizes, checkpoint)


def demand_of_plan(plan: Plan, checkpoint: Checkpoint, *, unpacked: bool = False) -> Demand:
    """The demand of a result that is not made yet.

    Args:
        plan: The result.
        checkpoint: What it is made of.
        unpacked: Whether the program makes 16-bit weights of it.
    """
    sizes = [(item.name, 2 * item.weights if unpacked else item.nbytes) for item in plan.tensors]
    return _demand(plan.preset, sizes, checkpoint)


def _demand(name: str, sizes: Iterable[tuple[str, int]], checkpoint: Checkpoint) -> Demand:
    geometry: Geometry | None = None
    unknown = ""
    try:
        geometry = _geometry(checkpoint)
    except CannotSize as error:
        unknown = error.title
    return make_demand(name, sizes, geometry, unknown)


def _geometry(checkpoint: Checkpoint) -> Geometry:
    if isinstance(checkpoint, GgufFile):
        return geometry_of_notes(
            {key: note.value for key, note in checkpoint.header.metadata.items()}
        )
    config: Mapping[str, Any] = checkpoint.config
    return geometry_of_config(config)


def make_demand(
    name: str, sizes: Iterable[tuple[str, int]], geometry: Geometry | None, unknown: str = ""
) -> Demand:
    """Sort tensors, given by name and bytes, into the parts of a model."""
    layers: dict[int, int] = {}
    experts: dict[int, int] = {}
    embedding = output = other = projector = count = 0
    for tensor, nbytes in sizes:
        count += 1
        index = layer_of(tensor)
        if _PROJECTOR.search(tensor):
            projector += nbytes
        elif index is not None:
            layers[index] = layers.get(index, 0) + nbytes
            if EXPERTS.search(tensor):
                experts[index] = experts.get(index, 0) + nbytes
        elif _EMBEDDING.search(tensor):
            embedding += nbytes
        elif _OUTPUT.search(tensor):
            output += nbytes
        else:
            other += nbytes
    return Demand(
        name=name,
        layers=tuple(Layer(layers[index], experts.get(index, 0)) for index in sorted(layers)),
        embedding=embedding,
        output=output + other,
        tied=not output,
        tensors=count,
        projector=projector,
        geometry=geometry,
        unknown=unknown,
    )
