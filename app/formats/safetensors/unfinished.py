"""A folder that is being written, read by its plan: some of its weights are not there yet.

Calibrated methods look at layers that they have just written. Readers of whole models would
stumble over the zeros where the rest is going to be.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from app.core.plan import Plan, PlannedTensor
from app.core.tensor import TensorInfo
from app.encodings import find_encoding
from app.encodings.base import Block, Encoding
from app.encodings.dtypes import torch_dtype
from app.encodings.folder import in_file_order
from app.models.base import Checkpoint
from app.models.source_file import SourceFile

if TYPE_CHECKING:
    from torch import Tensor


class Unfinished(Checkpoint):
    """What `plan` has become so far."""

    kind: ClassVar[str] = "safetensors"

    def __init__(self, folder: Path, plan: Plan, config: Mapping[str, Any]) -> None:
        """`config` is the source's."""
        self.path = folder
        self.config = config
        self._planned = {tensor.name: tensor for tensor in plan.tensors}
        self.files = [folder / file.name for file in plan.files]
        self.tensors = {
            tensor.name: TensorInfo(tensor.name, tensor.shape, "F32", tensor.nbytes)
            for tensor in plan.tensors
            if tensor.sources  # the others are no weights, and no family knows them
        }

    @override
    def rows(self, name: str, start: int = 0, stop: int | None = None) -> Tensor:
        """Rows of a weight, float32; the whole weight is decoded for them. See the base class."""
        tensor = self._planned[name]
        source = SourceFile.look(self.files[tensor.file])
        found = _decoded(_bytes(source, tensor), tensor)
        return found.reshape(-1, tensor.shape[-1] if tensor.shape else 1)[start:stop]


def _bytes(source: SourceFile, tensor: PlannedTensor) -> Tensor:
    import torch

    if not tensor.apart:
        return source.bytes_at(tensor.offset, tensor.nbytes)
    parts = in_file_order(find_encoding(tensor.encoding).layout(tensor.shape))
    pairs = zip(tensor.apart, parts, strict=True)
    return torch.cat([source.bytes_at(offset, part.nbytes) for offset, part in pairs])


def _decoded(data: Tensor, tensor: PlannedTensor) -> Tensor:
    encoding = find_encoding(tensor.encoding)
    if isinstance(encoding, Block):
        row = tensor.shape[-1] if tensor.shape else 1
        blocks = data.view(-1, encoding.nbytes((row,)))
        return encoding.decode({"blocks": blocks}, (tensor.weights // row, row))
    return encoding.decode(_parts(data, encoding, tensor.shape), tensor.shape)


def _parts(data: Tensor, encoding: Encoding, shape: tuple[int, ...]) -> dict[str, Tensor]:
    parts: dict[str, Tensor] = {}
    end = 0
    for part in in_file_order(encoding.layout(shape)):
        start, end = end, end + part.nbytes
        numbers = data[start:end].clone().view(torch_dtype(part.dtype))
        parts[part.name] = numbers.view(part.shape)
    return parts
