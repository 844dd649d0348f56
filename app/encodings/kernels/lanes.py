"""Many blocks at once: the lanes that the searches run on.

The best scale of a sub-block (or block) is found by trying candidates, each of which costs a pass
over its 16 or 32 weights and three sums. Summing within one is a serial chain; summing `LANES` of
them side by side keeps every SIMD unit busy. So weights are transposed: row l of `data` holds the
l-th weight of every lane. With the three sums, the error of a candidate follows in closed form, and
no second pass over the weights is needed.

`data` holds n rows of values and then n rows of their importances; `state` holds rows of one number
a lane. Both are flat: offsets known to the compiler are what lets it vectorise over the lanes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from app.encodings.kernels import numbers
from app.encodings.kernels.half import MAGNITUDE
from app.encodings.kernels.inner import INNER

if TYPE_CHECKING:
    from numpy.typing import NDArray

LANES = 32
"""Sub-blocks side by side. A constant, so that no lane is left to a scalar remainder loop, whose
rounding could differ."""

RELAXED = {"contract", "nsz"}
"""What the compiler may do with the searches' arithmetic: fuse multiply and add. Reordering is not
allowed, or a block's bytes could depend on its neighbours'."""

MARGIN = np.float32(numbers.MARGIN)
TINY = np.float32(numbers.TINY)

# Rows of `state` that all searches share.
INVERSE, SHIFT, SUM_Q, SUM_QQ, SUM_QV, SUM_V, SUM_VV, ERROR, SCALE = (i * LANES for i in range(9))
SHARED = 9 * LANES


@njit(**INNER)
def spread(part: NDArray[np.float32], n: int, rows: NDArray[np.float32]) -> None:
    """Transpose (LANES, n) to (n, LANES)."""
    for i in range(n):
        for lane in range(LANES):
            rows[i * LANES + lane] = part[lane * n + i]


@njit(**INNER)
def transpose(weights: NDArray[np.float32], n: int, data: NDArray[np.float32]) -> np.int64:
    """Fill the lanes with sub-blocks of n weights; lanes without weights become zero.

    Returns:
        The bits of the largest magnitude: NaN and infinities come out on top.
    """
    if weights.size < LANES * n:
        filled = np.zeros(LANES * n, np.float32)
        for i in range(weights.size):  # assigning a slice takes seconds to compile
            filled[i] = weights[i]
        weights = filled
    bits = weights.view(np.uint32)
    top = np.uint32(0)
    for i in range(bits.size):
        top = max(top, np.uint32(bits[i] & MAGNITUDE))
    spread(weights, n, data)
    return np.int64(top)


@njit(**INNER)
def transpose_importance(
    columns: NDArray[np.float32], first: int, n: int, data: NDArray[np.float32]
) -> None:
    """Fill the importances' rows of all lanes, for sub-blocks from weight `first` on."""
    at = first % columns.size
    if at + LANES * n <= columns.size:
        spread(columns[at : at + LANES * n], n, data[n * LANES :])
        return
    for lane in range(LANES):
        at = (first + lane * n) % columns.size
        for i in range(n):
            data[(n + i) * LANES + lane] = columns[at + i]


@njit(**INNER, fastmath=RELAXED)
def tally(
    data: NDArray[np.float32],
    state: NDArray[np.float32],
    n: int,
    low: np.float32,
    high: np.float32,
) -> None:
    """Round every value v to q = (v - SHIFT) * INVERSE within low .. high, and sum.

    Sets SUM_Q, SUM_QQ and SUM_QV to the importance-weighted sums of q, q q and q v.
    """
    for k in range(LANES):
        state[SUM_Q + k] = state[SUM_QQ + k] = state[SUM_QV + k] = 0
    for row in range(0, n, 8):
        values = data[row * LANES : (row + 8) * LANES]
        importances = data[(n + row) * LANES : (n + row + 8) * LANES]
        for k in range(LANES):
            inverse = state[INVERSE + k]
            shift = state[SHIFT + k]
            q1 = state[SUM_Q + k]
            q2 = state[SUM_QQ + k]
            qv = state[SUM_QV + k]
            for i in range(8):  # unrolled: the sums stay in registers
                v = values[i * LANES + k]
                q = min(max(np.rint((v - shift) * inverse), low), high)
                wq = importances[i * LANES + k] * q
                q1 += wq
                q2 += wq * q
                qv += wq * v
            state[SUM_Q + k] = q1
            state[SUM_QQ + k] = q2
            state[SUM_QV + k] = qv


@njit(**INNER, fastmath=RELAXED)
def tally_symmetric(
    data: NDArray[np.float32],
    state: NDArray[np.float32],
    n: int,
    low: np.float32,
    high: np.float32,
) -> None:
    """`tally` for grids around zero: SHIFT is not looked at, and SUM_Q not set."""
    for k in range(LANES):
        state[SUM_QQ + k] = state[SUM_QV + k] = 0
    for row in range(0, n, 8):
        values = data[row * LANES : (row + 8) * LANES]
        importances = data[(n + row) * LANES : (n + row + 8) * LANES]
        for k in range(LANES):
            inverse = state[INVERSE + k]
            q2 = state[SUM_QQ + k]
            qv = state[SUM_QV + k]
            for i in range(8):
                v = values[i * LANES + k]
                q = min(max(np.rint(v * inverse), low), high)
                wq = importances[i * LANES + k] * q
                q2 += wq * q
                qv += wq * v
            state[SUM_QQ + k] = q2
            state[SUM_QV + k] = qv
