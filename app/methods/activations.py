"""Ranges of activations, for runtimes that round the inputs of matrices too.

Dynamic: every token has a scale of its own, found when the model runs. Static: one scale,
found here and stored; it is the largest |x| seen, or a percentile of it, as a few extremes may
not be worth a coarser grid for all other values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.methods.base import Statistics

if TYPE_CHECKING:
    from torch import Tensor

_LEAST = 1e-12
"""Scales are at least this, so that inputs that were always 0 have one."""


@dataclass(frozen=True, slots=True)
class StaticRange:
    """How the range of a matrix's inputs is found."""

    percentile: float = 100.0
    """Share of the values inside it, in percent; 100: all, which needs `absmax`, and anything
    below needs `samples`."""

    def largest(self, statistics: Statistics) -> float:
        """Where |x| may saturate.

        Raises:
            Unsupported: What it is found from was not gathered.
        """
        field = "absmax" if self.percentile >= 100 else "samples"
        statistics.require(frozenset({field}), "static range")
        if self.percentile >= 100:
            assert statistics.absmax is not None
            return float(statistics.absmax.amax())
        assert statistics.samples is not None
        values = statistics.samples.abs().flatten()
        place = round(len(values) * self.percentile / 100)
        return float(values.kthvalue(min(max(place, 1), len(values))).values)

    def scale(self, statistics: Statistics, top: float) -> float:
        """What one code stands for, `top` being the largest: 127 for 8 bits, 448 for E4M3."""
        return max(self.largest(statistics) / top, _LEAST)


def round_tokens(inputs: Tensor, bits: int = 8) -> Tensor:
    """Inputs (tokens, in) as a runtime with dynamic scales sees them, symmetric, one a token."""
    top = (1 << (bits - 1)) - 1
    scale = inputs.abs().amax(-1, keepdim=True).clamp(min=_LEAST) / top
    return (inputs / scale).round() * scale
