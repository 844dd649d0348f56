"""What happens to tensors between a Hugging Face checkpoint and a GGUF file.

A change makes one tensor of some, rows at a time, so that a tensor of any size takes the memory of
a slice; and it can be undone, so that a written file can be held against its source. Rows are
counted over all dimensions but the last, flattened; a vector is one row.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Protocol

from typing_extensions import override

from app.models.architectures.order import halves_to_neighbours, neighbours_to_halves

if TYPE_CHECKING:
    from torch import Tensor

Shape = tuple[int, ...]


class Reader(Protocol):
    """A stored tensor, read in parts."""

    @property
    def shape(self) -> Shape:
        """Its shape, row-major."""

    def rows(self, start: int, stop: int) -> Tensor:
        """Rows `start` to `stop`: (rows, row length), of a floating type, mapped where possible."""


class Change(ABC):
    """Makes one tensor of others. The base class takes its only source as it is."""

    def shape(self, sources: Sequence[Shape]) -> Shape:
        """The result's shape."""
        (source,) = sources
        return source

    def together(self, shape: Shape) -> int:  # noqa: ARG002 - most rows stay in their places
        """So many rows of the result, of `shape`, have to be made at a time."""
        return 1

    @abstractmethod
    def rows(self, sources: Sequence[Reader], start: int, stop: int) -> Tensor:
        """Rows `start` to `stop` of the result. `start` is a multiple of `together`."""

    @abstractmethod
    def fill(self, result: Reader, source: int, out: Tensor) -> None:
        """Undo: write into `out`, shaped as source number `source`, what `result` knows of it."""

    def columns(self, importance: Tensor) -> Tensor | None:
        """Importances of a source's columns, (..., in), in the order of the result's columns.

        None where the result's columns are something else.
        """
        return importance


def whole(reader: Reader) -> Tensor:
    """All of a tensor, in its own shape, float32."""
    return reader.rows(0, row_count(reader.shape)).float().reshape(reader.shape)


def row_count(shape: Shape) -> int:
    """Rows, counted over all dimensions but the last."""
    return prod(shape[:-1])


@dataclass(frozen=True, slots=True)
class AsIs(Change):
    """No change but that of the name."""

    @override
    def rows(self, sources: Sequence[Reader], start: int, stop: int) -> Tensor:
        return sources[0].rows(start, stop)

    @override
    def fill(self, result: Reader, source: int, out: Tensor) -> None:
        out.copy_(whole(result).view(out.shape))


AS_IS = AsIs()


@dataclass(frozen=True, slots=True)
class Flattened(AsIs):
    """Drops dimensions of size 1: (channels, 1, kernel) to (channels, kernel)."""

    @override
    def shape(self, sources: Sequence[Shape]) -> Shape:
        (source,) = sources
        return tuple(size for size in source if size != 1) or (1,)


@dataclass(frozen=True, slots=True)
class Neighbours(Change):
    """Rows of each head go from Hugging Face's order to llama.cpp's; see `order`."""

    head: int
    """Rows of a head."""
    turned: int = 0
    """Rows of a head that rotary embedding acts on, the first ones; 0: all."""

    @override
    def together(self, shape: Shape) -> int:
        return self.head if len(shape) > 1 else 1

    @override
    def rows(self, sources: Sequence[Reader], start: int, stop: int) -> Tensor:
        found = sources[0].rows(start, stop)
        if len(sources[0].shape) == 1:
            return self._turn(found[0])[None]
        return self._turn(found)

    @override
    def fill(self, result: Reader, source: int, out: Tensor) -> None:
        import torch

        stored = whole(result)
        if not self.turned:
            out.copy_(neighbours_to_halves(stored, self.head))
            return
        heads = stored.view(-1, self.head, *stored.shape[1:])
        first = heads[:, : self.turned].flatten(0, 1)
        again = neighbours_to_halves(first, self.turned).view(-1, self.turned, *stored.shape[1:])
        out.copy_(torch.cat([again, heads[:, self.turned :]], 1).view(out.shape))

    def _turn(self, rows: Tensor) -> Tensor:
        import torch

        if not self.turned:
            return halves_to_neighbours(rows, self.head)
        heads = rows.view(-1, self.head, *rows.shape[1:])
        first = heads[:, : self.turned].flatten(0, 1)
        again = halves_to_neighbours(first, self.turned).view(-1, self.turned, *rows.shape[1:])
        return torch.cat([again, heads[:, self.turned :]], 1).view(rows.shape)


@dataclass(frozen=True, slots=True)
class Shifted(Change):
    """Adds a number: norms that multiply with 1 + w are stored as what they multiply with."""

    by: float = 1.0

    @override
    def rows(self, sources: Sequence[Reader], start: int, stop: int) -> Tensor:
        return sources[0].rows(start, stop).float() + self.by

    @override
    def fill(self, result: Reader, source: int, out: Tensor) -> None:
        out.copy_(whole(result) - self.by)


@dataclass(frozen=True, slots=True)
class Scaled(Change):
    """Multiplies with a number."""

    by: float

    @override
    def rows(self, sources: Sequence[Reader], start: int, stop: int) -> Tensor:
        return sources[0].rows(start, stop).float() * self.by

    @override
    def fill(self, result: Reader, source: int, out: Tensor) -> None:
        out.copy_(whole(result) / self.by)


@dataclass(frozen=True, slots=True)
class NegativeExponential(Change):
    """-exp(x): state space models train the logarithm of their decay."""

    @override
    def rows(self, sources: Sequence[Reader], start: int, stop: int) -> Tensor:
        return -sources[0].rows(start, stop).float().exp()

    @override
    def fill(self, result: Reader, source: int, out: Tensor) -> None:
        out.copy_((-whole(result)).log())


@dataclass(frozen=True, slots=True)
class Part(Change):
    """Some rows of a matrix, or of each matrix of a stack: a fused projection is taken apart."""

    start: int
    stop: int
    step: int = 1

    @property
    def _count(self) -> int:
        return len(range(self.start, self.stop, self.step))

    @override
    def shape(self, sources: Sequence[Shape]) -> Shape:
        (source,) = sources
        if len(source) == 1:
            return (self._count,)
        return (*source[:-2], self._count, source[-1])

    @override
    def rows(self, sources: Sequence[Reader], start: int, stop: int) -> Tensor:
        import torch

        (source,) = sources
        if len(source.shape) == 1:
            return source.rows(0, 1)[:, self.start : self.stop : self.step]
        height, count = source.shape[-2], self._count
        pieces = []
        for matrix in range(start // count, (stop - 1) // count + 1):
            first = self.start + (max(start, matrix * count) - matrix * count) * self.step
            last = self.start + (min(stop, (matrix + 1) * count) - matrix * count - 1) * self.step
            at = matrix * height
            pieces.append(source.rows(at + first, at + last + 1)[:: self.step])
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)

    @override
    def fill(self, result: Reader, source: int, out: Tensor) -> None:
        rows = slice(self.start, self.stop, self.step)
        if out.ndim == 1:
            out[rows] = whole(result)
        else:
            out[..., rows, :] = whole(result)


@dataclass(frozen=True, slots=True)
class ColumnPart(Change):
    """Every so many-th column: vectors that alternate are taken apart."""

    start: int
    step: int

    @override
    def shape(self, sources: Sequence[Shape]) -> Shape:
        (source,) = sources
        return (*source[:-1], len(range(self.start, source[-1], self.step)))

    @override
    def rows(self, sources: Sequence[Reader], start: int, stop: int) -> Tensor:
        return sources[0].rows(start, stop)[:, self.start :: self.step]

    @override
    def fill(self, result: Reader, source: int, out: Tensor) -> None:
        out[..., self.start :: self.step] = whole(result)

    @override
    def columns(self, importance: Tensor) -> Tensor:
        return importance[..., self.start :: self.step]


@dataclass(frozen=True, slots=True)
class Stacked(Change):
    """Matrices of one shape, one behind the other: the experts of a layer. (out, in) each."""

    @override
    def shape(self, sources: Sequence[Shape]) -> Shape:
        return (len(sources), *sources[0])

    @override
    def rows(self, sources: Sequence[Reader], start: int, stop: int) -> Tensor:
        import torch

        height = row_count(sources[0].shape)
        pieces = []
        for matrix in range(start // height, (stop - 1) // height + 1):
            at = matrix * height
            first, last = max(start, at) - at, min(stop, at + height) - at
            pieces.append(sources[matrix].rows(first, last))
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)

    @override
    def fill(self, result: Reader, source: int, out: Tensor) -> None:
        height = row_count(tuple(out.shape))
        out.copy_(result.rows(source * height, (source + 1) * height).view(out.shape))


@dataclass(frozen=True, slots=True)
class Turned(Change):
    """Rows and columns change places: (in, out) to (out, in), for each matrix of a stack."""

    then: Change = field(default=AS_IS)
    """What happens to the turned matrix."""

    @override
    def shape(self, sources: Sequence[Shape]) -> Shape:
        (source,) = sources
        return self.then.shape([(*source[:-2], source[-1], source[-2])])

    @override
    def together(self, shape: Shape) -> int:
        return self.then.together(shape)

    @override
    def rows(self, sources: Sequence[Reader], start: int, stop: int) -> Tensor:
        return self.then.rows([_Turned(sources[0])], start, stop)

    @override
    def fill(self, result: Reader, source: int, out: Tensor) -> None:
        self.then.fill(result, source, out.transpose(-1, -2))


@dataclass(frozen=True, slots=True)
class _Turned:
    """A stored matrix, or a stack of them, read by its columns."""

    stored: Reader

    @property
    def shape(self) -> Shape:
        shape = self.stored.shape
        return (*shape[:-2], shape[-1], shape[-2])

    def rows(self, start: int, stop: int) -> Tensor:
        import torch

        height, width = self.stored.shape[-2:]  # of the stored matrix
        pieces = []
        for matrix in range(start // width, (stop - 1) // width + 1):
            at = matrix * width
            first, last = max(start, at) - at, min(stop, at + width) - at
            # The stored rows are mapped: only the pages that hold these columns are read.
            stored = self.stored.rows(matrix * height, (matrix + 1) * height)
            pieces.append(stored[:, first:last].t())
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)
