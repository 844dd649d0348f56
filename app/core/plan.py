"""The planned result: every tensor's encoding, size and place, before any work."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class PlannedTensor:
    """One tensor of the result."""

    name: str
    """Its name in the result."""
    shape: tuple[int, ...]
    """Row-major: (out, in) for a linear layer."""
    encoding: str
    """Name of the encoding that stores it."""
    offset: int
    """First byte, counted from the start of the file."""
    nbytes: int
    sources: tuple[str, ...]
    """Names of the checkpoint's tensors it is made of, in order; empty when it is computed."""
    wanted: str = ""
    """The encoding of the recipe, where its block does not divide this tensor's rows; else ""."""

    @property
    def weights(self) -> int:
        """Number of elements."""
        count = 1
        for size in self.shape:
            count *= size
        return count


@dataclass(frozen=True, slots=True)
class Plan:
    """The layout of a result file."""

    preset: str
    tensors: tuple[PlannedTensor, ...]
    total_bytes: int
    """Size of the finished file."""
    header: bytes = field(repr=False)
    """Everything in front of the first tensor, padding included."""
    notes: tuple[str, ...] = ()
    """What the user should know before starting, a sentence each."""

    @property
    def weights(self) -> int:
        """Number of elements of all tensors."""
        return sum(tensor.weights for tensor in self.tensors)

    @property
    def bits_per_weight(self) -> float:
        """Mean bits a weight, over the tensors' bytes (without the header)."""
        return 8 * sum(tensor.nbytes for tensor in self.tensors) / max(1, self.weights)

    @property
    def fallbacks(self) -> tuple[PlannedTensor, ...]:
        """The tensors that cannot have the encoding that the recipe wants for them."""
        return tuple(tensor for tensor in self.tensors if tensor.wanted)
