"""What rounding groups of weights to evenly spaced grids loses, for many grids at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from app.encodings.kernels.simd import (
    greatest,
    least,
    load,
    magnitude,
    root,
    rounded,
    spread,
    total,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

AT_ONCE = 32
"""Weights that are looked at together; groups divide by it."""


@njit(nogil=True, cache=True, error_model="numpy")
def group_errors(
    weights: NDArray[np.float32],
    counts: NDArray[np.float32],
    offsets: NDArray[np.float32],
    inverses: NDArray[np.float32],
    highest: int,
    out: NDArray[np.float32],
) -> None:
    """Sum the distances to the nearest of the codes from 0 to `highest`, in steps to a power.

    Args:
        weights: Groups one after the other.
        counts: What the square of each column's distance counts; a divisor of the weights, whole
            groups. Empty: all alike, and the power is 2.5.
        offsets: What is added to the weights of each group, (grids, groups).
        inverses: 1 / steps, (grids, groups).
        highest: The largest code.
        out: Filled, (grids, groups).
    """
    grids, groups = out.shape
    size = weights.size // groups
    low, high = spread(np.float32(0)), spread(np.float32(highest))
    for group in range(groups):
        start = group * size
        for grid in range(grids):
            offset, inverse = spread(offsets[grid, group]), spread(inverses[grid, group])
            e0, e1, e2, e3 = low, low, low, low
            for at in range(start, start + size, AT_ONCE):
                p0 = (load(weights, at) + offset) * inverse
                p1 = (load(weights, at + 8) + offset) * inverse
                p2 = (load(weights, at + 16) + offset) * inverse
                p3 = (load(weights, at + 24) + offset) * inverse
                d0 = least(greatest(rounded(p0), low), high) - p0
                d1 = least(greatest(rounded(p1), low), high) - p1
                d2 = least(greatest(rounded(p2), low), high) - p2
                d3 = least(greatest(rounded(p3), low), high) - p3
                s0, s1, s2, s3 = d0 * d0, d1 * d1, d2 * d2, d3 * d3
                if counts.size:
                    column = at % counts.size
                    s0, s1 = s0 * load(counts, column), s1 * load(counts, column + 8)
                    s2, s3 = s2 * load(counts, column + 16), s3 * load(counts, column + 24)
                else:
                    s0, s1 = s0 * root(magnitude(d0)), s1 * root(magnitude(d1))
                    s2, s3 = s2 * root(magnitude(d2)), s3 * root(magnitude(d3))
                e0, e1, e2, e3 = e0 + s0, e1 + s1, e2 + s2, e3 + s3
            out[grid, group] = total((e0 + e1) + (e2 + e3))
