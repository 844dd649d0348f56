"""What calibrated methods know of a matrix's inputs, gathered in one pass.

Sums are taken in float32 where the rows lie, of the rows of one slice. Those of vectors are added
up in float64 on the host, so that devices without float64 lose nothing; those of matrices stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import override

from app.calibration.collectors import Collector, Statistic, SumOfSquares
from app.methods.base import Statistics

if TYPE_CHECKING:
    from torch import Tensor

_HASHED = 128
"""Columns that tell rows apart."""
_FACTOR = 2**62
"""Bound of the factors of a hash."""


class SecondMoment(Collector):
    """The sum of x x^T, (in, in). Its diagonal is that of `SumOfSquares`."""

    @override
    def measure(self, rows: Tensor) -> Tensor:
        return rows.mT @ rows

    @override
    def merge(self, one: Tensor, other: Tensor) -> Tensor:
        return one + other

    @property
    @override
    def is_large(self) -> bool:
        return True

    @override
    def absorb(self, total: Tensor, value: Tensor) -> Tensor:
        return total.add_(value)  # it may take gigabytes


class AbsMax(Collector):
    """The largest |x| of each column, (in,)."""

    @override
    def measure(self, rows: Tensor) -> Tensor:
        return rows.abs().amax(0)

    @override
    def merge(self, one: Tensor, other: Tensor) -> Tensor:
        return one.maximum(other)


class SumOfMagnitudes(Collector):
    """The sum of |x| in each column, (in,)."""

    @override
    def measure(self, rows: Tensor) -> Tensor:
        return rows.abs().sum(0)

    @override
    def merge(self, one: Tensor, other: Tensor) -> Tensor:
        return one + other


@dataclass(frozen=True, slots=True)
class Reservoir(Collector):
    """At most `size` of the rows, (rows, in), drawn evenly.

    Each row draws a ticket, and the lowest tickets stay. A ticket is made of the row's own bits,
    not of the order in which rows come: however the text is cut, and wherever a run was cut
    off, the same rows are kept. Equal rows, such as the opening tokens of all windows, share
    one ticket and count once.
    """

    size: int = 1024
    seed: int = 0

    @override
    def measure(self, rows: Tensor) -> Tensor:
        order, tickets = self._tickets(rows).sort(stable=True)[::-1]
        first = tickets.diff(prepend=tickets[:1] - 1) != 0
        return rows[order[first][: self.size]]

    @override
    def merge(self, one: Tensor, other: Tensor) -> Tensor:
        import torch

        return self.measure(torch.cat([one, other]))

    def _tickets(self, rows: Tensor) -> Tensor:
        """A number for each row, int64: a random linear hash of its bits.

        Of some of its columns, if they are many: rows that are equal there are alike enough.
        """
        import torch

        rows = rows[:, :: max(1, rows.shape[-1] // _HASHED)]
        generator = torch.Generator().manual_seed(self.seed)
        factors = torch.randint(-_FACTOR, _FACTOR, rows.shape[-1:], generator=generator)
        bits = rows.float().contiguous().view(torch.int32).to(torch.int64)
        # Sums wrap around 2^64. Their upper halves depend on all bits, their lowest bits do not.
        return (bits * factors.to(rows.device)).sum(-1) >> 32


@dataclass(frozen=True, slots=True)
class Gather(Collector):
    """Several statistics at once, stacked as rows: (rows of all of them, in).

    Read them with `statistics`.
    """

    needs: frozenset[str]
    """Fields of `Statistics`."""
    samples: int = 1024
    """Rows that are kept where samples are needed."""

    @override
    def measure(self, rows: Tensor) -> Tensor:
        return _stacked([collector.measure(rows) for _, collector in self._parts()])

    @override
    def merge(self, one: Tensor, other: Tensor) -> Tensor:
        ones, others = self._split(one), self._split(other)
        return _stacked([kind.merge(ones[name], others[name]) for name, kind in self._parts()])

    @property
    @override
    def is_large(self) -> bool:
        return any(kind.is_large for _, kind in self._parts())

    @override
    def absorb(self, total: Tensor, value: Tensor) -> Tensor:
        totals, values = self._split(total), self._split(value)
        return _stacked([kind.absorb(totals[name], values[name]) for name, kind in self._parts()])

    def statistics(self, found: Statistic) -> Statistics:
        """What was gathered of one matrix, float32 on the host, as methods take it.

        A second moment, which may take gigabytes, is not copied.
        """
        import torch

        values = {
            name: value.to(torch.float32, copy=name != "second_moment")
            for name, value in self._split(found.value).items()
        }
        for name in values.keys() & {"importance", "mean_abs"}:
            values[name] /= found.tokens
        if "second_moment" in values:
            values["importance"] = values["second_moment"].diagonal() / found.tokens
        return Statistics(**values)

    def _parts(self) -> list[tuple[str, Collector]]:
        return [(name, kind) for name, kind in self._kinds() if name in self.needs]

    def _kinds(self) -> list[tuple[str, Collector]]:
        return [
            ("importance", SumOfSquares()),
            ("absmax", AbsMax()),
            ("mean_abs", SumOfMagnitudes()),
            ("second_moment", SecondMoment()),
            ("samples", Reservoir(self.samples)),  # the last: how many rows it has is not known
        ]

    def _split(self, value: Tensor) -> dict[str, Tensor]:
        parts, first = {}, 0
        for name, _ in self._parts():
            rows = {"second_moment": value.shape[-1], "samples": len(value) - first}.get(name, 0)
            parts[name] = value[first : first + rows] if rows else value[first]
            first += rows or 1
        return parts


def _stacked(values: list[Tensor]) -> Tensor:
    """Vectors and matrices as rows of one matrix; one alone is not copied."""
    import torch

    rows = [value.view(-1, value.shape[-1]) for value in values]
    return rows[0] if len(rows) == 1 else torch.cat(rows)
