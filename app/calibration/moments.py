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
_LEAST_DRAWN = 2.0**-32
"""Numbers are at least this: they are divided by."""


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
    """Some of the rows, (rows, in), by which sums over all of them are estimated.

    What a layer loses is a sum over tokens that grows with the squares of their inputs, and in some
    models a few tokens have inputs a thousand times larger than all others: whether a fair draw has
    met one of them decides everything. So a row's chance is its squared length. The rows of the
    highest priorities stay: squared lengths, each divided by a random number between 0 and 1.

    That number is made of the row's own bits, not of the order in which rows come: however the
    text is cut, and wherever a run was cut off, the same rows are kept.

    Duffield, Lund and Thorup, "Priority sampling for estimation of arbitrary subset sums", Journal
    of the ACM 54 (2007), section 2.
    """

    size: int = 1024
    seed: int = 0

    @override
    def measure(self, rows: Tensor) -> Tensor:
        kept = self._priorities(rows).topk(min(len(rows), self.size + 1)).indices
        return rows[kept]  # the last one tells how many others each of them stands for

    @override
    def merge(self, one: Tensor, other: Tensor) -> Tensor:
        import torch

        return self.measure(torch.cat([one, other]))

    def weighed(self, kept: Tensor) -> Tensor:
        """At most `size` rows, scaled so that their squares sum up as those of all rows do."""
        if len(kept) <= self.size:
            return kept
        limit = self._priorities(kept[-1:])
        kept = kept[:-1]
        stands_for = (limit / _squares(kept)).clamp(min=1)
        return kept * stands_for.sqrt().to(kept.dtype)[:, None]

    def _priorities(self, rows: Tensor) -> Tensor:
        """(rows,), float32."""
        import torch

        some = rows[:, :: max(1, rows.shape[-1] // _HASHED)]
        generator = torch.Generator().manual_seed(self.seed)
        factors = torch.randint(-_FACTOR, _FACTOR, some.shape[-1:], generator=generator)
        bits = some.float().contiguous().view(torch.int32).to(torch.int64)
        # A random linear hash. Sums wrap around 2^64; their upper halves depend on all bits.
        drawn = (bits * factors.to(rows.device)).sum(-1) >> 32
        return _squares(rows) / ((drawn + 2**31).float() / 2**32 + _LEAST_DRAWN)


def _squares(rows: Tensor) -> Tensor:
    """Squared lengths, (rows,), float32."""
    return rows.float().square().sum(-1)


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
        if "samples" in values:
            values["samples"] = Reservoir(self.samples).weighed(values["samples"])
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
