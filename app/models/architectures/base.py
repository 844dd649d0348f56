"""What has to be known of a family of models to store it in another convention.

An `Architecture` is data: an entry of this folder per family. Names of tensors exist in
two conventions, Hugging Face's and GGUF's; shapes follow from a handful of dimensions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from app.core.errors import BadModelFile, Unsupported
from app.core.tensor import TensorInfo

Config = Mapping[str, Any]

OUTPUT = "output.weight"
ROPE_FACTORS = "rope_freqs.weight"

#: Numbers that follow from the config, stored by old checkpoints and by GGUF files.
_COMPUTED = re.compile(rf"^{ROPE_FACTORS}$|\.rotary_emb\.inv_freq$")


class Pairing(StrEnum):
    """Which two elements of a head rotary embedding turns together in llama.cpp."""

    NEIGHBOURS = "norm"
    """Elements 2j and 2j+1: rows of q and k have to be reordered, Hugging Face pairs halves."""
    HALVES = "neox"
    """Elements j and j + head/2, as in Hugging Face: rows stay where they are."""


@dataclass(frozen=True, slots=True)
class Dimensions:
    """The numbers that every tensor's shape follows from."""

    layers: int
    hidden: int
    inner: int
    """Width of the feed-forward part."""
    heads: int
    kv_heads: int
    head: int
    """Elements of one attention head."""
    vocabulary: int
    """Rows of the embedding."""

    @property
    def queries(self) -> int:
        """Rows of a query projection."""
        return self.heads * self.head

    @property
    def keys(self) -> int:
        """Rows of a key or value projection."""
        return self.kv_heads * self.head


@dataclass(frozen=True, slots=True)
class Weight:
    """A rule for one kind of tensor; `{i}` in its names stands for the layer."""

    hf: str
    gguf: str
    shape: tuple[str, ...]
    """Names of fields of `Dimensions`."""
    rotated: bool = False
    """Whether rotary embedding acts on its rows."""
    optional: bool = False


@dataclass(frozen=True, slots=True)
class PlacedWeight:
    """A tensor that a checkpoint has, in both conventions."""

    hf: str
    gguf: str
    shape: tuple[int, ...]
    head: int = 0
    """Rows of a head within which rows change places between the conventions; 0: none do."""


def _check_shape(info: TensorInfo | None, name: str, shape: tuple[int, ...]) -> None:
    if info is None:
        raise BadModelFile(
            f"The model has no tensor {name}.",
            "Its files are incomplete, or its config.json belongs to another model. "
            "Download it again.",
        )
    if info.shape != shape:
        raise BadModelFile(
            f"The tensor {name} has the shape {list(info.shape)}, but by the model's own "
            f"description it should have {list(shape)}.",
            "Its files do not belong together. Download the model again.",
        )


def _no_notes(_config: Config) -> tuple[str, ...]:
    return ()


def _nothing_more(_dimensions: Dimensions) -> dict[str, Any]:
    return {}


@dataclass(frozen=True, slots=True)
class Architecture:
    """One family of models."""

    title: str
    """Its name for the user."""
    gguf: str
    """llama.cpp's name for it, the value of `general.architecture`."""
    model_type: str
    """Transformers' name for it."""
    classes: tuple[str, ...]
    """Names in config.json's `architectures`; the first one is written back."""
    pairing: Pairing
    weights: tuple[Weight, ...]
    defaults: Config
    """What transformers assumes where config.json is silent."""
    notes: Callable[[Config], tuple[str, ...]] = field(default=_no_notes)
    """Sentences on what llama.cpp does differently; raises `Unsupported` where it cannot run."""
    more_config: Callable[[Dimensions], dict[str, Any]] = field(default=_nothing_more)
    """Entries of config.json that a GGUF file does not hold."""

    def place(
        self,
        tensors: Mapping[str, TensorInfo],
        dimensions: Dimensions,
        *,
        tied: bool,
        convention: Literal["hf", "gguf"] = "hf",
    ) -> tuple[PlacedWeight, ...]:
        """Match the tensors of a checkpoint with the rules.

        Args:
            tensors: The checkpoint's, named after `convention`.
            dimensions: What config.json or the metadata says.
            tied: Whether the output layer is the embedding, used a second time.
            convention: Whose names `tensors` has.

        Returns:
            The tensors that make up the model, those without a layer first.

        Raises:
            BadModelFile: A tensor is missing or has another shape than it should.
            Unsupported: There are tensors that this family does not have.
        """
        placed: list[PlacedWeight] = []
        known: set[str] = set()
        for rule, layer in self._instances(dimensions):
            names = {"hf": rule.hf.format(i=layer), "gguf": rule.gguf.format(i=layer)}
            name = names[convention]
            known.add(name)
            if (tied and rule.gguf == OUTPUT) or (rule.optional and name not in tensors):
                continue
            shape = tuple(getattr(dimensions, field) for field in rule.shape)
            _check_shape(tensors.get(name), name, shape)
            reordered = rule.rotated and self.pairing is Pairing.NEIGHBOURS
            head = dimensions.head if reordered else 0
            placed.append(PlacedWeight(names["hf"], names["gguf"], shape, head))
        self._refuse_unknown(tensors, known)
        return tuple(placed)

    def _instances(self, dimensions: Dimensions) -> list[tuple[Weight, int]]:
        """Every rule with every layer it applies to; rules without one first."""
        once = [(rule, 0) for rule in self.weights if "{i}" not in rule.hf]
        layered = [rule for rule in self.weights if "{i}" in rule.hf]
        return once + [(rule, layer) for layer in range(dimensions.layers) for rule in layered]

    def _refuse_unknown(self, tensors: Mapping[str, TensorInfo], known: set[str]) -> None:
        unknown = [name for name in tensors if name not in known and not _COMPUTED.search(name)]
        if unknown:
            raise Unsupported(
                f"This {self.title} model has tensors that this family does not have: "
                f"{', '.join(unknown[:3])}{' and more' if len(unknown) > 3 else ''}.",
                "It may be an adapter, a variant with extra parts, or already quantized. "
                "Choose the plain model that it was made from.",
                "\n".join(unknown[:100]),
            )
