"""Grids with a signed scale for many sub-blocks at once: Q3_K, Q6_K, Q4_0, Q5_0.

weight = scale * q, with q from -n to n - 1. The search has two steps. First every sub-block gets
the real-valued scale that fits it best: its extreme is put on places near -n and near n - 1, each
grid refitted by least squares. Where scales are themselves stored as codes, times d, d
is then set by the largest scale, which gets the lowest code (or by the largest of the other sign,
where that would exceed the highest), and each sub-block tries the codes around its own, on the grid
as it will be stored. After that, d can be fitted to all codes of its
super-block, and the codes tried again: worth its time where there are few.

A weight x counts 1 + tilt * x**2 / mean square of its sub-block, times the importance of its
column: between plain error and the squares that ggml's search uses. The candidates are in
`numbers`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from app.encodings.kernels import lanes
from app.encodings.kernels.half import half_bits, half_value, step_bits
from app.encodings.kernels.inner import INNER
from app.encodings.kernels.lanes import (
    ERROR,
    INVERSE,
    LANES,
    MARGIN,
    RELAXED,
    SCALE,
    SUM_QQ,
    SUM_QV,
    SUM_VV,
    TINY,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from app.encodings.kernels.numbers import SignedGrid

EXTREME, STEP, CODE, BEST_CODE, BEST_QQ, BEST_QV = (lanes.SHARED + i * LANES for i in range(6))
ROWS = lanes.SHARED + 6 * LANES

F0, F1, F2 = np.float32(0), np.float32(1), np.float32(2)


@njit(**INNER, fastmath=RELAXED, error_model="numpy")
def prepare(
    data: NDArray[np.float32], state: NDArray[np.float32], grid: SignedGrid, weighed: bool
) -> None:
    """Find each sub-block's extreme, set the importances and the sum that does not change."""
    n = grid.size
    for k in range(LANES):
        state[EXTREME + k] = state[SUM_VV + k] = F0
    for row in range(0, n, 8):  # as in `lanes.tally`
        values = data[row * LANES : (row + 8) * LANES]
        for k in range(LANES):
            extreme, vv = state[EXTREME + k], state[SUM_VV + k]
            for i in range(8):
                v = values[i * LANES + k]
                extreme = v if abs(v) > abs(extreme) else extreme
                vv += v * v
            state[EXTREME + k], state[SUM_VV + k] = extreme, vv
    for k in range(LANES):
        rms = np.sqrt(state[SUM_VV + k] / np.float32(n))
        state[INVERSE + k] = F1 / rms if rms > TINY else F0
        state[SCALE + k] = state[EXTREME + k] / grid.lowest
        state[ERROR + k] = np.inf
        state[SUM_VV + k] = F0
    for i in range(n):
        values = data[i * LANES : (i + 1) * LANES]
        importances = data[(n + i) * LANES : (n + i + 1) * LANES]
        for k in range(LANES):
            size = values[k] * state[INVERSE + k]
            w = F1 + grid.tilt * size * size
            w *= importances[k] if weighed else F1
            importances[k] = w
            state[SUM_VV + k] += w * values[k] * values[k]


@njit(**INNER, fastmath=RELAXED, error_model="numpy")
def try_place(
    data: NDArray[np.float32], state: NDArray[np.float32], grid: SignedGrid, place: np.float32
) -> None:
    """Fit a grid on which the extreme is code `place`; keep it where it is the best."""
    for k in range(LANES):
        extreme = state[EXTREME + k]
        state[INVERSE + k] = place / extreme if abs(extreme) > TINY else F0
    lanes.tally_symmetric(data, state, grid.size, grid.lowest, -grid.lowest - F1)
    for k in range(LANES):
        qq, qv = state[SUM_QQ + k], state[SUM_QV + k]
        scale = qv / qq if qq > F0 else F0
        error = state[SUM_VV + k] - scale * qv
        better = error < state[ERROR + k] - MARGIN * state[SUM_VV + k]
        state[ERROR + k] = error if better else state[ERROR + k]
        state[SCALE + k] = scale if better else state[SCALE + k]


@njit(**INNER, error_model="numpy")
def set_step(
    state: NDArray[np.float32], block: int, grid: SignedGrid, halves: NDArray[np.int64]
) -> None:
    """Fix d of one of the super-blocks, so that its scales of both signs have codes."""
    subs = 256 // grid.size
    low = high = F0
    for k in range(block * subs, (block + 1) * subs):
        low, high = min(low, state[SCALE + k]), max(high, state[SCALE + k])
    largest, other = (low, high) if -low >= high else (high, low)
    highest_scale = -grid.lowest_scale - F1
    if abs(other) * -grid.lowest_scale > abs(largest) * highest_scale:
        halves[block] = step_bits(other, highest_scale)
    else:
        halves[block] = step_bits(largest, grid.lowest_scale)
    for k in range(block * subs, (block + 1) * subs):
        state[STEP + k] = half_value(halves[block])


@njit(**INNER, fastmath=RELAXED, error_model="numpy")
def start_codes(state: NDArray[np.float32], grid: SignedGrid) -> None:
    """The codes nearest to the real-valued scales."""
    low, high = grid.lowest_scale, -grid.lowest_scale - F1
    for k in range(LANES):
        d = state[STEP + k]
        nearest = np.rint(state[SCALE + k] / d) if d != F0 else F0
        state[CODE + k] = min(max(nearest, low), high)
        state[BEST_CODE + k] = state[CODE + k]
        state[ERROR + k] = np.inf


@njit(**INNER, error_model="numpy")
def refit_step(
    state: NDArray[np.float32], block: int, grid: SignedGrid, halves: NDArray[np.int64]
) -> None:
    """Fit d of one of the super-blocks to its codes, by least squares."""
    subs = 256 // grid.size
    cc = cx = F0
    for k in range(block * subs, (block + 1) * subs):
        code = state[BEST_CODE + k]
        cc += code * code * state[BEST_QQ + k]
        cx += code * state[BEST_QV + k]
    if cc > F0:
        halves[block] = half_bits(cx / cc)
    for k in range(block * subs, (block + 1) * subs):
        state[STEP + k] = half_value(halves[block])
        state[CODE + k] = state[BEST_CODE + k]
        state[ERROR + k] = np.inf


@njit(**INNER, fastmath=RELAXED, error_model="numpy")
def try_code(
    data: NDArray[np.float32], state: NDArray[np.float32], grid: SignedGrid, change: np.float32
) -> None:
    """Try the scale code that is `change` away from the nearest; keep it where it is the best."""
    low, high = grid.lowest_scale, -grid.lowest_scale - F1
    for k in range(LANES):
        scale = state[STEP + k] * min(max(state[CODE + k] + change, low), high)
        state[INVERSE + k] = F1 / scale if scale != F0 else F0
    lanes.tally_symmetric(data, state, grid.size, grid.lowest, -grid.lowest - F1)
    for k in range(LANES):
        qq, qv = state[SUM_QQ + k], state[SUM_QV + k]
        code = min(max(state[CODE + k] + change, low), high)
        scale = state[STEP + k] * code
        error = scale * (scale * qq - F2 * qv) + state[SUM_VV + k]
        better = error < state[ERROR + k] - MARGIN * state[SUM_VV + k]
        state[ERROR + k] = error if better else state[ERROR + k]
        state[BEST_CODE + k] = code if better else state[BEST_CODE + k]
        state[BEST_QQ + k] = qq if better else state[BEST_QQ + k]
        state[BEST_QV + k] = qv if better else state[BEST_QV + k]


@njit(**INNER, error_model="numpy")
def fit(
    weights: NDArray[np.float32],
    columns: NDArray[np.float32],
    first: int,
    grid: SignedGrid,
    data: NDArray[np.float32],
    state: NDArray[np.float32],
) -> np.int64:
    """Find the real-valued scales, SCALE, of up to `LANES` sub-blocks.

    Args:
        weights: Whole sub-blocks, flat.
        columns: Importances of a row's columns, or none.
        first: Number of the first weight.
        grid: The encoding's numbers.
        data: Filled here; see `lanes`.
        state: Results.

    Returns:
        The bits of the largest magnitude.
    """
    n = grid.size
    largest: np.int64 = lanes.transpose(weights, n, data)
    if columns.size:
        lanes.transpose_importance(columns, first, n, data)
    prepare(data, state, grid, columns.size > 0)
    for place in grid.places:
        try_place(data, state, grid, place)
    return largest


@njit(**INNER, error_model="numpy")
def choose_codes(
    grid: SignedGrid,
    data: NDArray[np.float32],
    state: NDArray[np.float32],
    halves: NDArray[np.int64],
) -> None:
    """After `fit`: the codes of the scales, and the bits of d."""
    blocks = LANES * grid.size // 256
    for block in range(blocks):
        set_step(state, block, grid, halves)
    start_codes(state, grid)
    for change in grid.changes:
        try_code(data, state, grid, change)
    for _ in range(grid.rounds):
        for block in range(blocks):
            refit_step(state, block, grid, halves)
        for change in grid.changes:
            try_code(data, state, grid, change)


@njit(**INNER, fastmath=RELAXED, error_model="numpy")
def write_codes(
    weights: NDArray[np.float32],
    state: NDArray[np.float32],
    block: int,
    grid: SignedGrid,
    codes: NDArray[np.uint8],
) -> None:
    """Round the weights of one super-block on their final grids; codes start at 0."""
    n, subs = grid.size, 256 // grid.size
    low, high = grid.lowest, -grid.lowest - F1
    for j in range(subs):
        k = block * subs + j
        scale = state[STEP + k] * state[BEST_CODE + k]
        inverse = F1 / scale if scale != F0 else F0
        part = weights[j * n : (j + 1) * n]
        sink = codes[j * n : (j + 1) * n]
        for i in range(n):
            q = min(max(np.rint(part[i] * inverse), low), high)
            sink[i] = np.uint8(np.int32(q - low))
