"""The planned result: every tensor's encoding, size and place, before any work."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


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
    """First byte, counted from the start of its file."""
    nbytes: int
    sources: tuple[str, ...]
    """Names of the checkpoint's tensors it is made of, in order; empty when it is computed."""
    wanted: str = ""
    """The encoding of the recipe, where its block does not divide this tensor's rows; else ""."""
    file: int = 0
    """Which of the plan's files it is in."""
    apart: tuple[int, ...] = ()
    """First byte of each of its parts, where they do not follow each other."""

    @property
    def weights(self) -> int:
        """Number of elements."""
        count = 1
        for size in self.shape:
            count *= size
        return count


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """One file of the result."""

    header: bytes = field(repr=False)
    """Everything in front of the first tensor, padding included; all of a file without tensors."""
    nbytes: int
    """Size of the finished file."""
    suffix: str = ""
    """What its name has between the target's stem and extension: "-00001-of-00003"."""
    name: str = ""
    """Its name in the folder that the target is; "" where the target is a file."""
    grows: bool = False
    """Whether it says in the end what came of the plan, behind what was planned."""

    def path(self, target: Path) -> Path:
        """Where it belongs, for a result that is to be called `target`."""
        if self.name:
            return target / self.name
        if not self.suffix:
            return target
        return target.with_name(f"{target.stem}{self.suffix}{target.suffix}")


@dataclass(frozen=True, slots=True)
class Plan:
    """The layout of a result: one file, or several where it was to be split."""

    preset: str
    tensors: tuple[PlannedTensor, ...]
    """In the order of the files, and of their places in these."""
    files: tuple[PlannedFile, ...]
    notes: tuple[str, ...] = ()
    """What the user should know before starting, a sentence each."""
    ranges: tuple[str, ...] = ()
    """The source's tensors of which it must be known how large their inputs get."""
    runs_in: str = ""
    """Programs that load it, where they are not those of its preset."""

    @property
    def total_bytes(self) -> int:
        """Size of all files together."""
        return sum(file.nbytes for file in self.files)

    @property
    def header(self) -> bytes:
        """Of the first file, which describes the model."""
        return self.files[0].header

    @property
    def weights(self) -> int:
        """Number of elements of all tensors."""
        return sum(tensor.weights for tensor in self.tensors)

    @property
    def is_folder(self) -> bool:
        """Whether the files lie in a folder that is the result."""
        return bool(self.files[0].name)

    @property
    def bits_per_weight(self) -> float:
        """Mean bits a weight, over the tensors' bytes (without the headers)."""
        return 8 * sum(tensor.nbytes for tensor in self.tensors) / max(1, self.weights)

    @property
    def fallbacks(self) -> tuple[PlannedTensor, ...]:
        """The tensors that cannot have the encoding that the recipe wants for them."""
        return tuple(tensor for tensor in self.tensors if tensor.wanted)


@dataclass(frozen=True, slots=True)
class ImportanceFacts:
    """What a result says about the importance matrix that it was made with."""

    file: str
    """Name of the matrix's file."""
    dataset: str
    """Name of the text it was computed from; "" where nobody knows."""
    entries: int
    """Tensors that it covers."""
    chunks: int
    """Pieces of text that it was computed from; 0 where nobody knows."""
    covered: frozenset[str] = frozenset()
    """The names of those tensors; empty where it is not known yet."""
