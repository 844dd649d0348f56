"""The contract of a way in which published models are quantized."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from app.core.errors import BadModelFile, Unsupported
from app.core.tensor import TensorInfo
from app.models.base import Checkpoint

if TYPE_CHECKING:
    from torch import Tensor

_AGAIN = "Download the model again; all its files belong in one folder."
_OTHER = "Look for the original model, in BF16 or F16."


@dataclass(frozen=True, slots=True)
class QuantizedWeight(ABC):
    """A weight of the plain model, and the stored tensors that it is computed from."""

    shape: tuple[int, ...]
    """Of the plain weight: a linear layer's is (out, in)."""
    parts: tuple[str, ...]
    """Names of the stored tensors that nothing else is made of."""

    @property
    def sharing(self) -> int:
        """How many weights of the same size its parts hold."""
        return 1

    @abstractmethod
    def rows(self, stored: Checkpoint, start: int, stop: int) -> Tensor:
        """Rows of the plain weight, (stop - start, in), float32; see `Checkpoint.rows`.

        Stored tensors are mapped, not read: what is not touched takes no memory.
        """


class Method(ABC):
    """One way of quantizing, as it is found in folders."""

    name: ClassVar[str]
    """Its name among people: "GPTQ"."""
    config_names: ClassVar[tuple[str, ...]]
    """What "quant_method" says in config.json."""
    signs: ClassVar[tuple[str, ...]] = ()
    """Endings of tensors' names that give it away where the config says nothing."""
    native: ClassVar[bool] = False
    """Whether makers of models train and publish in it, so that no original is more exact."""

    @abstractmethod
    def weights(
        self, stored: Checkpoint, settings: Mapping[str, Any]
    ) -> Iterator[tuple[str, QuantizedWeight]]:
        """Every quantized weight by its name in the plain model; reads next to no numbers.

        Args:
            stored: The folder as it is.
            settings: What the config says about the quantization; may be empty.

        Raises:
            BadModelFile: Tensors are missing, or contradict each other.
            Unsupported: A variant that is not read.
        """


def part(stored: Checkpoint, name: str, *dtypes: str) -> TensorInfo:
    """A tensor that must be there, of one of these dtypes.

    Raises:
        BadModelFile: It is not, or is of another one.
    """
    info = stored.tensors.get(name)
    if info is None:
        raise BadModelFile(f"{name} is missing.", _AGAIN)
    if dtypes and info.dtype not in dtypes:
        raise damaged(name, f"holds {info.dtype} numbers where {dtypes[0]} belongs")
    return info


def damaged(name: str, reason: str) -> BadModelFile:
    """An error to raise: `reason` goes on after the tensor's name."""
    return BadModelFile(f"{name} {reason}.", _AGAIN)


def expect(holds: bool, info: TensorInfo) -> None:
    """Make sure of something about a tensor's shape.

    Raises:
        BadModelFile: It does not hold.
    """
    if not holds:
        shape = " x ".join(map(str, info.shape)) or "a single number"
        raise damaged(info.name, f"has a shape that does not fit the weight: {shape}")


def not_read(what: str) -> Unsupported:
    """An error to raise for a variant: `what` names it."""
    return Unsupported(f"Nibble cannot read models quantized with {what}.", _OTHER)
