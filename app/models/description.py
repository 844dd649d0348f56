"""A checkpoint understood: its family, its dimensions, and every tensor in both conventions."""

from __future__ import annotations

from dataclasses import dataclass

from app.models.architectures import architecture_of_gguf, find_architecture
from app.models.architectures.base import OUTPUT, Architecture, Dimensions, PlacedWeight
from app.models.architectures.hyperparameters import (
    dimensions_of_config,
    dimensions_of_gguf,
    is_tied,
)
from app.models.base import Checkpoint
from app.models.gguf_file import GgufFile


@dataclass(frozen=True, slots=True)
class Description:
    """What a checkpoint holds."""

    architecture: Architecture
    dimensions: Dimensions
    tied: bool
    """Whether the output layer is the embedding, used a second time."""
    weights: tuple[PlacedWeight, ...]
    """Without what is computed from the config."""


def describe_folder(checkpoint: Checkpoint) -> Description:
    """Understand a Hugging Face folder.

    Raises:
        BadModelFile: Config and tensors are damaged or contradict each other.
        Unsupported: The model is of no known family.
    """
    config = checkpoint.config
    architecture = find_architecture(config)
    dimensions = dimensions_of_config(architecture, config)
    tied = is_tied(architecture, config)
    weights = architecture.place(checkpoint.tensors, dimensions, tied=tied)
    return Description(architecture, dimensions, tied, weights)


def describe_gguf(checkpoint: GgufFile) -> Description:
    """Understand a GGUF file.

    Raises:
        BadModelFile: Metadata and tensors are damaged or contradict each other.
        Unsupported: The model is of no known family.
    """
    metadata = {key: entry.value for key, entry in checkpoint.header.metadata.items()}
    tensors = checkpoint.tensors
    architecture = architecture_of_gguf(metadata)
    embedding = tensors.get("token_embd.weight")
    dimensions = dimensions_of_gguf(architecture, metadata, embedding.shape[0] if embedding else 0)
    tied = OUTPUT not in tensors
    weights = architecture.place(tensors, dimensions, tied=tied, convention="gguf")
    return Description(architecture, dimensions, tied, weights)
