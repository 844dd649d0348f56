"""Float weights under Hugging Face's names, from either kind of checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.models.architectures import architecture_of_gguf, find_architecture
from app.models.architectures.base import OUTPUT, ROPE_FACTORS, PlacedWeight
from app.models.architectures.hyperparameters import (
    config_of_gguf,
    dimensions_of_config,
    dimensions_of_gguf,
    is_tied,
)
from app.models.architectures.order import neighbours_to_halves
from app.models.base import Checkpoint
from app.models.gguf_file import GgufFile

if TYPE_CHECKING:
    from torch import Tensor


class NamedWeights:
    """A model as transformers would load it: a config and float32 weights by name.

    Raises:
        BadModelFile: Tensors are missing or contradict the config.
        Unsupported: The model is of no known family.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        if isinstance(checkpoint, GgufFile):
            self.config, placed = _of_gguf(checkpoint)
        else:
            self.config, placed = _of_folder(checkpoint)
        self._placed = {weight.hf: weight for weight in placed}

    @property
    def names(self) -> tuple[str, ...]:
        """Hugging Face's names of the weights; `lm_head.weight` only where it is not tied."""
        return tuple(self._placed)

    def weight(self, name: str) -> Tensor:
        """The weight called `name` as transformers would see it, float32, on the host.

        Raises:
            KeyError: There is none.
        """
        import torch

        place = self._placed[name]
        if not isinstance(self._checkpoint, GgufFile):
            return self._checkpoint.tensor(name).to(torch.float32)
        stored = self._checkpoint.tensor(place.gguf).to(torch.float32)
        return neighbours_to_halves(stored, place.head) if place.head else stored


def _of_folder(checkpoint: Checkpoint) -> tuple[dict[str, Any], tuple[PlacedWeight, ...]]:
    config = dict(checkpoint.config)
    architecture = find_architecture(config)
    dimensions = dimensions_of_config(architecture, config)
    tied = is_tied(architecture, config)
    return config, architecture.place(checkpoint.tensors, dimensions, tied=tied)


def _of_gguf(checkpoint: GgufFile) -> tuple[dict[str, Any], tuple[PlacedWeight, ...]]:
    metadata = {key: entry.value for key, entry in checkpoint.header.metadata.items()}
    tensors = checkpoint.tensors
    architecture = architecture_of_gguf(metadata)
    embedding = tensors.get("token_embd.weight")
    dimensions = dimensions_of_gguf(architecture, metadata, embedding.shape[0] if embedding else 0)
    placed = architecture.place(tensors, dimensions, tied=OUTPUT not in tensors, convention="gguf")
    divisors = checkpoint.tensor(ROPE_FACTORS).tolist() if ROPE_FACTORS in tensors else None
    return config_of_gguf(architecture, metadata, tensors, dimensions, divisors), placed
