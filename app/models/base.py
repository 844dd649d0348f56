"""The contract every kind of checkpoint keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from app.core.tensor import TensorInfo

if TYPE_CHECKING:
    from torch import Tensor


class Checkpoint(ABC):
    """A model on disk. Opening it reads headers only, bounded in time and memory."""

    kind: ClassVar[str]
    """"safetensors" or "gguf"."""
    path: Path
    """The folder or file."""
    files: Sequence[Path]
    """Every file that was or will be read: headers, weights, config, tokenizer."""
    tensors: Mapping[str, TensorInfo]
    """Every tensor by its name, in the order of the files."""
    config: Mapping[str, Any]
    """config.json as data; empty for a GGUF file."""

    @abstractmethod
    def rows(self, name: str, start: int = 0, stop: int | None = None) -> Tensor:
        """Rows `start` to `stop` of a tensor, as (rows, row length); float32 where encoded.

        Rows are counted over all dimensions but the last, flattened; a vector is one row, a
        scalar one row of one. Plain dtypes come as they are stored; the bytes are
        memory-mapped and stay mapped only while the returned tensor lives. Encoded tensors
        (GGUF) are decoded.

        Raises:
            KeyError: There is no such tensor.
            BadModelFile: The file has changed or shrunk since it was opened.
        """

    def tensor(self, name: str) -> Tensor:
        """A whole tensor in its own shape; see `rows`."""
        return self.rows(name).reshape(self.tensors[name].shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(info.nbytes for info in self.tensors.values())

    @property
    def stored_as(self) -> str:
        """The dtype or encoding that holds most of the bytes."""
        by_dtype: Counter[str] = Counter()
        for info in self.tensors.values():
            by_dtype[info.dtype] += info.nbytes
        return by_dtype.most_common(1)[0][0]

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about what is stored, for a person who makes something of it."""
        return ()

    @property
    def weights(self) -> int:
        """Number of elements of all tensors."""
        return sum(info.weights for info in self.tensors.values())
