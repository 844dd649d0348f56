"""Float weights under Hugging Face's names, from either kind of checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.core.tensor import TensorInfo
from app.models.architectures.base import ROPE_FACTORS
from app.models.architectures.hyperparameters import config_of_gguf
from app.models.architectures.order import neighbours_to_halves
from app.models.base import Checkpoint
from app.models.description import Description, describe_folder, describe_gguf
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
            description = describe_gguf(checkpoint)
            self.config = _config_of(checkpoint, description)
        else:
            description = describe_folder(checkpoint)
            self.config = dict(checkpoint.config)
        self._weights = {weight.hf: weight for weight in description.weights}

    @property
    def names(self) -> tuple[str, ...]:
        """Hugging Face's names of the weights; `lm_head.weight` only where it is not tied."""
        return tuple(self._weights)

    def info(self, name: str) -> TensorInfo:
        """How the weight called `name` is stored."""
        stored = self._weights[name].gguf if isinstance(self._checkpoint, GgufFile) else name
        return self._checkpoint.tensors[stored]

    def weight(self, name: str) -> Tensor:
        """The weight called `name` as transformers would see it, float32, on the host.

        Raises:
            KeyError: There is none.
        """
        import torch

        weight = self._weights[name]
        if not isinstance(self._checkpoint, GgufFile):
            return self._checkpoint.tensor(name).to(torch.float32)
        stored = self._checkpoint.tensor(weight.gguf).to(torch.float32)
        return neighbours_to_halves(stored, weight.head) if weight.head else stored


def _config_of(checkpoint: GgufFile, description: Description) -> dict[str, Any]:
    has_divisors = ROPE_FACTORS in checkpoint.tensors
    divisors = checkpoint.tensor(ROPE_FACTORS).tolist() if has_divisors else None
    return config_of_gguf(
        description.architecture,
        {key: entry.value for key, entry in checkpoint.header.metadata.items()},
        checkpoint.tensors,
        description.dimensions,
        divisors,
    )
