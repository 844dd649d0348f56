"""What happens to the tensors that pictures meet first, small ones that are read as a whole."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import override

from app.models.architectures.changes import Change, Reader, Shape, row_count, whole

if TYPE_CHECKING:
    from torch import Tensor


class Whole(Change):
    """A change that is made of all rows at once."""

    @abstractmethod
    def made(self, source: Tensor) -> Tensor:
        """The result of `source`."""

    @override
    def together(self, shape: Shape) -> int:
        return row_count(shape)

    @override
    def rows(self, sources: Sequence[Reader], start: int, stop: int) -> Tensor:
        made = self.made(whole(sources[0]))
        return made.reshape(-1, made.shape[-1])[start:stop]


@dataclass(frozen=True, slots=True)
class Frame(Whole):
    """One moment of a convolution over two: (out, colours, moments, height, width)."""

    moment: int

    @override
    def shape(self, sources: Sequence[Shape]) -> Shape:
        (source,) = sources
        return (*source[:2], *source[3:])

    @override
    def made(self, source: Tensor) -> Tensor:
        return source[:, :, self.moment]

    @override
    def fill(self, result: Reader, source: int, out: Tensor) -> None:
        out[:, :, self.moment] = whole(result)


@dataclass(frozen=True, slots=True)
class AsConvolution(Whole):
    """A matrix over flattened patches, (out, height x width x colours), as a convolution."""

    patch: int

    @override
    def shape(self, sources: Sequence[Shape]) -> Shape:
        (source,) = sources
        return (source[0], source[1] // self.patch**2, self.patch, self.patch)

    @override
    def made(self, source: Tensor) -> Tensor:
        return source.view(source.shape[0], self.patch, self.patch, -1).permute(0, 3, 1, 2)

    @override
    def fill(self, result: Reader, source: int, out: Tensor) -> None:
        out.copy_(whole(result).permute(0, 2, 3, 1).reshape(out.shape))


@dataclass(frozen=True, slots=True)
class OneRow(Whole):
    """One row of a matrix: the embedding of a token."""

    row: int

    @override
    def shape(self, sources: Sequence[Shape]) -> Shape:
        return sources[0][1:]

    @override
    def rows(self, sources: Sequence[Reader], start: int, stop: int) -> Tensor:
        return sources[0].rows(self.row, self.row + 1)

    @override
    def made(self, source: Tensor) -> Tensor:
        return source[self.row]

    @override
    def fill(self, result: Reader, source: int, out: Tensor) -> None:
        out[self.row] = whole(result)


@dataclass(frozen=True, slots=True)
class FirstToLast(Whole):
    """A table of positions, (1, rows, width), as (rows, width), its first row at the end."""

    @override
    def shape(self, sources: Sequence[Shape]) -> Shape:
        return sources[0][1:]

    @override
    def made(self, source: Tensor) -> Tensor:
        return source[0].roll(-1, 0)

    @override
    def fill(self, result: Reader, source: int, out: Tensor) -> None:
        out[0] = whole(result).roll(1, 0)
