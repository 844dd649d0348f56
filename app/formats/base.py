"""The contract every format keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from app.core.plan import Plan, PlannedTensor
from app.core.recipe import Recipe
from app.encodings.base import Encoding
from app.models.base import Checkpoint

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Preset:
    """A named recipe, as a person chooses it."""

    name: str
    base: str
    """Encoding of the tensors that have no rule of their own."""
    summary: str
    """One plain sentence for the list of qualities."""
    quality: str
    """A few words: "small loss"."""
    recommended: bool = False


class Conversion(ABC):
    """One checkpoint on its way into one format. Making it reads config and tokenizer only."""

    @abstractmethod
    def plan(self, recipe: Recipe) -> Plan:
        """Type, size and place of every tensor; arithmetic only.

        Raises:
            Unsupported: The recipe cannot be applied to this model.
        """

    @abstractmethod
    def rows(self, tensor: PlannedTensor, start: int, stop: int) -> Tensor:
        """Rows `start` to `stop` of the result's tensor, float32, on the host.

        Rows are counted over all dimensions but the last, flattened. `start` is a multiple of
        `row_step`, and `stop` is one too or the end.
        """

    @abstractmethod
    def source_bytes(self, tensor: PlannedTensor) -> int:
        """Bytes that the tensor takes in the source; 0 when it is computed."""

    def row_step(self, tensor: PlannedTensor) -> int:  # noqa: ARG002 - most tensors do not care
        """Rows that must be read together, because they change places among themselves."""
        return 1


class Format(ABC):
    """A file or folder convention, and the presets it offers."""

    name: ClassVar[str]
    runs_in: ClassVar[str]
    """Programs that load it, for the user."""
    extension: ClassVar[str]
    """".gguf"; empty for a folder."""
    presets: ClassVar[Sequence[Preset]]

    @abstractmethod
    def holds(self, encoding: Encoding) -> bool:
        """Whether this format can store `encoding`."""

    @abstractmethod
    def prepare(self, checkpoint: Checkpoint) -> Conversion:
        """Look at a checkpoint's config and tokenizer.

        Raises:
            Unsupported: This format cannot hold such a model.
            BadModelFile: The config or the tokenizer is damaged.
        """

    @abstractmethod
    def open(self, path: Path) -> Checkpoint:
        """Read a result back from disk.

        Raises:
            BadModelFile: It is not a file of this format.
        """
