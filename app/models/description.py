"""A checkpoint understood: its family, its dimensions, and every tensor in both conventions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from app.models.architectures import architecture_of_gguf, language_model
from app.models.architectures.base import (
    OUTPUT,
    ROPE_FACTORS,
    Architecture,
    Config,
    Dimensions,
    Source,
    Weight,
    check_shape,
    refuse_unknown,
)
from app.models.base import Checkpoint
from app.models.gguf_file import GgufFile


@dataclass(frozen=True, slots=True)
class Description:
    """What a checkpoint holds."""

    architecture: Architecture
    config: Config
    """Of the language model, in the form of config.json."""
    dimensions: Dimensions
    tied: bool
    """Whether the output layer is the embedding, used a second time."""
    weights: tuple[Weight, ...]
    """Without what is computed from the config; sources have their real shapes."""
    stored: Mapping[str, str] = field(default_factory=dict)
    """A folder's own name for each tensor of the language model."""


def describe_folder(checkpoint: Checkpoint) -> Description:
    """Understand a Hugging Face folder.

    Raises:
        BadModelFile: Config and tensors are damaged or contradict each other.
        Unsupported: The model is of no known family.
    """
    architecture, config = language_model(checkpoint.config)
    dimensions = architecture.dimensions(config)
    stored = architecture.stored_names(checkpoint.tensors.keys(), config)
    weights = []
    used: set[str] = set()
    for weight in architecture.weights(config, stored.keys()):
        if weight.optional and weight.sources[0].name not in stored:
            continue
        weights.append(_found(weight, stored, checkpoint))
        used.update(source.name for source in weights[-1].sources)
    tied = architecture.is_tied(config)
    if tied:
        used.add("lm_head.weight")
    unknown = (stored_name for name, stored_name in stored.items() if name not in used)
    refuse_unknown(architecture.title, unknown)
    return Description(architecture, config, dimensions, tied, tuple(weights), stored)


def _found(weight: Weight, stored: Mapping[str, str], checkpoint: Checkpoint) -> Weight:
    """The weight with the shapes that the checkpoint has."""
    sources = []
    for source in weight.sources:
        name = stored.get(source.name, source.name)
        info = checkpoint.tensors.get(name)
        check_shape(info, name, source.shape)
        assert info is not None
        sources.append(Source(source.name, info.shape))
    return replace(weight, sources=tuple(sources))


def describe_gguf(checkpoint: GgufFile) -> Description:
    """Understand a GGUF file.

    Raises:
        BadModelFile: Metadata and tensors are damaged or contradict each other.
        Unsupported: The model is of no known family, or does not say enough of itself.
    """
    metadata: dict[str, Any] = {
        key: entry.value for key, entry in checkpoint.header.metadata.items()
    }
    tensors = checkpoint.tensors
    architecture = architecture_of_gguf(metadata)
    has_divisors = ROPE_FACTORS in tensors
    divisors = checkpoint.tensor(ROPE_FACTORS).tolist() if has_divisors else None
    config = architecture.config(metadata, tensors, divisors)
    weights = written_weights(architecture, config, checkpoint)
    dimensions = architecture.dimensions(config)
    return Description(architecture, config, dimensions, OUTPUT not in tensors, weights)


def written_weights(
    architecture: Architecture, config: Config, file: GgufFile
) -> tuple[Weight, ...]:
    """The tensors of a GGUF file that holds the model described by `config`.

    Raises:
        BadModelFile: One is missing or has another shape than it should.
        Unsupported: There are tensors that this family does not have.
    """
    weights = []
    known = set(architecture.computed(config))
    for weight in architecture.weights(config, ()):
        if weight.optional and weight.gguf not in file.tensors:
            continue
        check_shape(file.tensors.get(weight.gguf), weight.gguf, weight.shape)
        weights.append(weight)
        known.add(weight.gguf)
    refuse_unknown(
        architecture.title,
        (name for name in file.tensors if name not in known and not name.startswith("rope_")),
    )
    return tuple(weights)
