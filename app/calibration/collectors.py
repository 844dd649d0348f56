"""Statistics of what weight matrices are multiplied with.

A collector says what is kept of the rows that one matrix is given, and how two such values
become one; when and of what it is asked is not its business. `Collected` keeps its values with
the number of rows they are of, by matrix, so that the texts, devices or machines that they
come from do not matter.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import override

if TYPE_CHECKING:
    from torch import Tensor


class Collector(ABC):
    """One statistic."""

    @abstractmethod
    def measure(self, rows: Tensor) -> Tensor:
        """The statistic of `rows`, (tokens, in), float32, where they lie."""

    @abstractmethod
    def merge(self, one: Tensor, other: Tensor) -> Tensor:
        """The statistic of two sets of rows together, of the same type, at the same place."""

    @property
    def is_large(self) -> bool:
        """Whether values are matrices: then they are added up where they lie, in float32.

        Others are added up on the host, in float64.
        """
        return False

    def absorb(self, total: Tensor, value: Tensor) -> Tensor:
        """`merge`, where `total` may be overwritten."""
        return self.merge(total, value)


class SumOfSquares(Collector):
    """The sum of x^2 in each column, (in,): how much an error in that column counts."""

    @override
    def measure(self, rows: Tensor) -> Tensor:
        return rows.square().sum(0)

    @override
    def merge(self, one: Tensor, other: Tensor) -> Tensor:
        return one + other


@dataclass(frozen=True, slots=True)
class Statistic:
    """What was collected of the inputs of one matrix."""

    tokens: int
    """Rows that were seen."""
    value: Tensor
    """As the collector makes it, on the host; float64 unless it is large."""


class Collected:
    """The statistics of many matrices, by the name of their tensor and their place in it."""

    def __init__(self, collector: Collector) -> None:
        self.collector = collector
        self._found: dict[str, dict[int, Statistic]] = {}

    def add(self, name: str, matrix: int, statistic: Statistic) -> None:
        """Merge with what is known of the matrix."""
        matrices = self._found.setdefault(name, {})
        known = matrices.get(matrix)
        if known is not None:
            value = self.collector.merge(known.value, statistic.value)
            statistic = Statistic(known.tokens + statistic.tokens, value)
        matrices[matrix] = statistic

    def merge(self, other: Collected) -> None:
        """Add everything that `other` holds."""
        for name in other.names():
            for matrix, statistic in other.of(name):
                self.add(name, matrix, statistic)

    def names(self) -> tuple[str, ...]:
        """Tensors of which something is known."""
        return tuple(self._found)

    def __contains__(self, name: str) -> bool:
        return name in self._found

    def of(self, name: str) -> Iterator[tuple[int, Statistic]]:
        """The matrices of a tensor that were given anything, and what is known of them."""
        yield from self._found.get(name, {}).items()
