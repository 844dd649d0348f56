"""How large the inputs of a matrix get: counts from which any percentile of |x| can be read.

Bins are the upper bits of a float32: exponents and the first five digits behind them, so each is
three per cent wide at most. Counts of all tokens are exact, however they were split and merged.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING

from typing_extensions import override

from app.calibration.collectors import Collector

if TYPE_CHECKING:
    from torch import Tensor

_BELOW = 18
"""Bits of a float32 that do not choose its bin."""
_BINS = 1 << (31 - _BELOW)


class Magnitudes(Collector):
    """How many |x| each bin has, and the bits of the largest one behind them, (bins + 1,).

    Read them with `range_of`.
    """

    @override
    def measure(self, rows: Tensor) -> Tensor:
        import torch

        bits = rows.abs().flatten().view(torch.int32)  # in the order of the numbers
        counts = torch.bincount(bits >> _BELOW, minlength=_BINS)
        return torch.cat([counts, bits.amax().view(1)])

    @override
    def merge(self, one: Tensor, other: Tensor) -> Tensor:
        merged = one + other
        merged[-1] = one[-1].maximum(other[-1])
        return merged


def range_of(counted: Tensor, percentile: float) -> float:
    """The magnitude that at least so many per cent of the values do not exceed.

    Inside a bin, values are taken for evenly spread.

    Args:
        counted: What `Magnitudes` makes, on the host.
        percentile: Above 0, up to 100.
    """
    import torch

    counts, largest = counted[:-1].long(), _float(int(counted[-1]))
    reached = counts.cumsum(0)
    total = int(reached[-1])
    wanted = ceil(total * Fraction(str(percentile)) / 100)  # 99.9 as it is written
    if wanted == total:
        return largest
    place = int(torch.searchsorted(reached, wanted))
    low, high = (_float(edge << _BELOW) for edge in (place, place + 1))
    share = 1 - (int(reached[place]) - wanted) / int(counts[place])
    return min(low + share * (high - low), largest)


def _float(bits: int) -> float:
    import torch

    return float(torch.tensor(bits, dtype=torch.int32).view(torch.float32))
