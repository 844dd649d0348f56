"""Changes that put rows or columns in another order, and changes one after another."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import override

from app.models.architectures.changes import Change, Reader, Shape, row_count, whole

if TYPE_CHECKING:
    from torch import Tensor


class Reordered(Change):
    """Rows (elements of a vector) change places over the whole tensor; subclasses say how.

    Some of the source's rows may be left out, for another tensor.
    """

    @abstractmethod
    def order(self, rows: int) -> Tensor:
        """Which of the source's `rows` rows each row of the result is: (rows,), int64."""

    @override
    def shape(self, sources: Sequence[Shape]) -> Shape:
        (source,) = sources
        return (len(self.order(source[0])), *source[1:])

    @override
    def rows(self, sources: Sequence[Reader], start: int, stop: int) -> Tensor:
        import torch

        (source,) = sources
        if len(source.shape) == 1:
            return source.rows(0, 1)[:, self.order(source.shape[0])]
        wanted = self.order(row_count(source.shape))[start:stop]
        low, high = int(wanted.min()), int(wanted.max()) + 1
        if high - low <= 4 * len(wanted):
            return source.rows(low, high)[wanted - low]
        cuts = torch.where(wanted[1:] - wanted[:-1] != 1)[0] + 1
        runs = torch.tensor_split(wanted, cuts)
        return torch.cat([source.rows(int(run[0]), int(run[-1]) + 1) for run in runs])

    @override
    def fill(self, result: Reader, source: int, out: Tensor) -> None:
        out[self.order(out.shape[0])] = whole(result)


@dataclass(frozen=True, slots=True)
class QueriesKeysValues(Reordered):
    """Rows go from (head, q k v, element) to (q k v, head, element): every head's part together."""

    heads: int
    head: int
    """Elements of a head."""

    @override
    def order(self, rows: int) -> Tensor:
        import torch

        numbers = torch.arange(rows).view(self.heads, 3, self.head)
        return numbers.transpose(0, 1).flatten()


@dataclass(frozen=True, slots=True)
class ColumnsReordered(Change):
    """Columns change places as rows do by another change."""

    like: Reordered

    @override
    def rows(self, sources: Sequence[Reader], start: int, stop: int) -> Tensor:
        return sources[0].rows(start, stop)[:, self.like.order(sources[0].shape[-1])]

    @override
    def fill(self, result: Reader, source: int, out: Tensor) -> None:
        out[..., self.like.order(out.shape[-1])] = whole(result)

    @override
    def columns(self, importance: Tensor) -> Tensor:
        return importance[..., self.like.order(importance.shape[-1])]


@dataclass(frozen=True, slots=True)
class Chained(Change):
    """One change after another, of a single source."""

    first: Change
    then: Change

    @override
    def shape(self, sources: Sequence[Shape]) -> Shape:
        return self.then.shape([self.first.shape(sources)])

    @override
    def rows(self, sources: Sequence[Reader], start: int, stop: int) -> Tensor:
        between = _Between(self.first, sources)
        step = self.first.together(between.shape)
        assert step == 1, "rows between two changes are read one by one"
        return self.then.rows([between], start, stop)

    @override
    def fill(self, result: Reader, source: int, out: Tensor) -> None:
        import torch

        between = torch.full(self.first.shape([tuple(out.shape)]), torch.nan)
        self.then.fill(result, 0, between)
        found = torch.empty_like(out)
        self.first.fill(_InMemory(between), source, found)
        out.copy_(torch.where(found.isnan(), out, found))

    @override
    def columns(self, importance: Tensor) -> Tensor | None:
        between = self.first.columns(importance)
        return None if between is None else self.then.columns(between)


@dataclass(frozen=True, slots=True)
class _Between:
    """What a change makes, read by the next one."""

    change: Change
    sources: Sequence[Reader]

    @property
    def shape(self) -> Shape:
        return self.change.shape([source.shape for source in self.sources])

    def rows(self, start: int, stop: int) -> Tensor:
        return self.change.rows(self.sources, start, stop)


@dataclass(frozen=True, slots=True)
class _InMemory:
    tensor: Tensor

    @property
    def shape(self) -> Shape:
        return tuple(self.tensor.shape)

    def rows(self, start: int, stop: int) -> Tensor:
        return self.tensor.reshape(-1, self.tensor.shape[-1])[start:stop]


@dataclass(frozen=True, slots=True)
class Reshaped(Change):
    """A small tensor's numbers in other rows: a vector as a column, or as one row a group."""

    to: Shape

    @override
    def shape(self, sources: Sequence[Shape]) -> Shape:
        return self.to

    @override
    def rows(self, sources: Sequence[Reader], start: int, stop: int) -> Tensor:
        return whole(sources[0]).view(-1, self.to[-1])[start:stop]

    @override
    def fill(self, result: Reader, source: int, out: Tensor) -> None:
        out.copy_(whole(result).view(out.shape))


@dataclass(frozen=True, slots=True)
class RowsScaled(Change):
    """Rows up to each end are multiplied with a number."""

    parts: tuple[tuple[int, float], ...]
    """(first row behind the part, factor), in order."""

    @override
    def rows(self, sources: Sequence[Reader], start: int, stop: int) -> Tensor:
        return sources[0].rows(start, stop).float() * self._factors()[start:stop, None]

    @override
    def fill(self, result: Reader, source: int, out: Tensor) -> None:
        out.copy_(whole(result) / self._factors()[:, None])

    def _factors(self) -> Tensor:
        import torch

        starts = (0, *(end for end, _ in self.parts))
        pieces = [
            torch.full((end - start,), factor)
            for start, (end, factor) in zip(starts, self.parts, strict=False)
        ]
        return torch.cat(pieces)
