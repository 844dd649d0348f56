"""Float weights under Hugging Face's names, from either kind of checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.core.errors import BadModelFile
from app.core.tensor import TensorInfo
from app.models.architectures.base import Weight
from app.models.architectures.changes import AS_IS
from app.models.base import Checkpoint
from app.models.description import Description, describe_folder, describe_gguf
from app.models.gguf_file import GgufFile

if TYPE_CHECKING:
    from torch import Tensor


class NamedWeights:
    """A model as transformers would load it: a config and float32 weights by name.

    Args:
        checkpoint: The model.
        source: What a GGUF file was made from: names, shapes and config are taken from there,
            so that also those of families are known that a GGUF file does not tell everything
            about.

    Raises:
        BadModelFile: Tensors are missing or contradict the config.
        Unsupported: The model is of no known family.
    """

    def __init__(self, checkpoint: Checkpoint, source: Description | None = None) -> None:
        self._checkpoint = checkpoint
        if isinstance(checkpoint, GgufFile):
            description = source or describe_gguf(checkpoint)
        else:
            description = describe_folder(checkpoint)
        self.description = description
        self.config = dict(description.architecture.text_config(description.config))
        self._stored = description.stored
        self._shapes = {s.name: s.shape for w in description.weights for s in w.sources}
        self._made_into: dict[str, list[Weight]] = {}
        for weight in description.weights:
            for part in weight.sources:
                self._made_into.setdefault(part.name, []).append(weight)

    @property
    def names(self) -> tuple[str, ...]:
        """Hugging Face's names of the weights; `lm_head.weight` only where it is not tied."""
        return tuple(self._made_into)

    def info(self, name: str) -> TensorInfo:
        """How the weight called `name`, or its largest part, is stored."""
        if not isinstance(self._checkpoint, GgufFile):
            return self._checkpoint.tensors[self._stored[name]]
        infos = (self._checkpoint.tensors[weight.gguf] for weight in self._made_into[name])
        return max(infos, key=lambda info: info.nbytes)

    def weight(self, name: str) -> Tensor:
        """The weight called `name` as transformers would see it, float32, on the host.

        Raises:
            KeyError: There is none.
            BadModelFile: The file holds only some of it.
        """
        import torch

        weights = self._made_into[name]
        if not isinstance(self._checkpoint, GgufFile):
            return self._checkpoint.tensor(self._stored[name]).to(torch.float32)
        out = torch.full(self._shapes[name], torch.nan)
        for weight in weights:
            number = next(i for i, source in enumerate(weight.sources) if source.name == name)
            weight.change.fill(StoredTensor(self._checkpoint, weight.gguf), number, out)
        if len(weights) > 1 and out.isnan().any():
            raise BadModelFile(
                f"The file holds only some of the tensor {name}.", "Convert the model again."
            )
        return out

    def rows(self, name: str, start: int, stop: int) -> Tensor:
        """Rows of the matrix called `name`; see `weight`. Only they are read where that is all."""
        weights = self._made_into[name]
        if not isinstance(self._checkpoint, GgufFile):
            return self._checkpoint.rows(self._stored[name], start, stop).float()
        (weight, *more) = weights
        if not more and weight.change is AS_IS:
            return self._checkpoint.rows(weight.gguf, start, stop).float()
        return self.weight(name)[start:stop]


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor of a checkpoint, for a `Change` to read."""

    checkpoint: Checkpoint
    name: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape, row-major."""
        return self.checkpoint.tensors[self.name].shape

    def rows(self, start: int, stop: int) -> Tensor:
        """Rows of it; see `Checkpoint.rows`."""
        return self.checkpoint.rows(self.name, start, stop)
