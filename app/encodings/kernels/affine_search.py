"""Grids with a scale and a minimum for many sub-blocks at once: Q2_K, Q4_K, Q5_K, Q4_1, Q5_1.

weight = scale * q - minimum. The search has two steps. First every sub-block gets the real-valued
scale and offset that fit it best: grids with slightly different spans are tried, each refitted by
weighted least squares, and each next one starts from the best offset so far. Where scales and
minima are themselves stored as codes, times d and dmin, those two are then set by the largest
scale and minimum, and each sub-block tries the scale codes around its own with the best minimum for
each, on the grid as it will be stored. After that, d and dmin can be fitted to all codes of their
super-block, and the codes tried again: worth its time where there are few.

A weight x counts 1 + tilt * |x| / rms of its sub-block, times the importance of its column. More
tilt costs plain error, less costs error as ggml counts it; with 1 / 3, both are below those of
ggml's search, which it shares the idea of candidate grids with. The candidates are in `numbers`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from app.encodings.kernels import lanes, numbers
from app.encodings.kernels.half import half_bits, half_value, step_bits
from app.encodings.kernels.inner import INNER
from app.encodings.kernels.lanes import (
    ERROR,
    INVERSE,
    LANES,
    MARGIN,
    RELAXED,
    SCALE,
    SHIFT,
    SUM_Q,
    SUM_QQ,
    SUM_QV,
    SUM_V,
    SUM_VV,
    TINY,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from app.encodings.kernels.numbers import AffineGrid

# More rows of `state`. Values are measured from LOW, so that a small spread around a large mean
# keeps its digits in the closed form.
(
    LOW,
    SPAN,
    SUM_W,
    OFFSET,
    STEP,
    MIN_STEP,
    CODE,
    MIN_CODE,
    BEST_CODE,
    BEST_MIN,
    BEST_Q,
    BEST_QQ,
    BEST_QV,
) = (lanes.SHARED + i * LANES for i in range(13))
ROWS = lanes.SHARED + 13 * LANES

F0, F1, F2 = np.float32(0), np.float32(1), np.float32(2)
SINGULAR = np.float32(numbers.SINGULAR)


@njit(**INNER, fastmath=RELAXED, error_model="numpy")
def prepare(
    data: NDArray[np.float32], state: NDArray[np.float32], grid: AffineGrid, weighed: bool
) -> None:
    """Measure the values from LOW, set their importances and the sums that do not change."""
    n = grid.size
    for k in range(LANES):
        state[LOW + k] = F0 if grid.top_scale > F0 else data[k]
        state[SPAN + k] = data[k]
        state[SUM_VV + k] = F0
    for row in range(0, n, 8):  # as in `lanes.tally`
        values = data[row * LANES : (row + 8) * LANES]
        for k in range(LANES):
            low, high, vv = state[LOW + k], state[SPAN + k], state[SUM_VV + k]
            for i in range(8):
                v = values[i * LANES + k]
                low, high = min(low, v), max(high, v)
                vv += v * v
            state[LOW + k], state[SPAN + k], state[SUM_VV + k] = low, high, vv
    for k in range(LANES):
        state[SPAN + k] -= state[LOW + k]
        rms = np.sqrt(state[SUM_VV + k] / np.float32(n))
        state[INVERSE + k] = F1 / rms if rms > TINY else F0
        state[SCALE + k] = state[SPAN + k] / grid.top
        state[ERROR + k] = np.inf
        state[OFFSET + k] = state[SUM_W + k] = state[SUM_V + k] = state[SUM_VV + k] = F0
    for i in range(n):
        values = data[i * LANES : (i + 1) * LANES]
        importances = data[(n + i) * LANES : (n + i + 1) * LANES]
        for k in range(LANES):
            w = F1 + grid.tilt * abs(values[k]) * state[INVERSE + k]
            w *= importances[k] if weighed else F1
            v = values[k] - state[LOW + k]
            importances[k] = w
            values[k] = v
            state[SUM_W + k] += w
            state[SUM_V + k] += w * v
            state[SUM_VV + k] += w * v * v


@njit(**INNER, fastmath=RELAXED, error_model="numpy")
def try_span(
    data: NDArray[np.float32], state: NDArray[np.float32], grid: AffineGrid, stretch: np.float32
) -> None:
    """Fit a grid on which the span has top + stretch steps; keep it where it is the best."""
    for k in range(LANES):
        width = state[SPAN + k] - state[OFFSET + k]
        state[SHIFT + k] = state[OFFSET + k]
        state[INVERSE + k] = (grid.top + stretch) / width if width > TINY else F0
    lanes.tally(data, state, grid.size, F0, grid.top)
    for k in range(LANES):
        w, v = state[SUM_W + k], state[SUM_V + k]
        q, qq, qv = state[SUM_Q + k], state[SUM_QQ + k], state[SUM_QV + k]
        det = w * qq - q * q
        solvable = det > SINGULAR * w * qq
        offset = (qq * v - q * qv) / det if solvable else F0
        if grid.top_scale > F0:  # a coded minimum cannot be above zero
            offset = min(offset, -state[LOW + k])
        scale = (qv - offset * q) / qq if solvable else F0
        error = (
            scale * (scale * qq + F2 * (offset * q - qv))
            + offset * (offset * w - F2 * v)
            + state[SUM_VV + k]
        )
        better = solvable and error < state[ERROR + k] - MARGIN * state[SUM_VV + k]
        state[ERROR + k] = error if better else state[ERROR + k]
        state[SCALE + k] = scale if better else state[SCALE + k]
        state[OFFSET + k] = offset if better else state[OFFSET + k]


@njit(**INNER, error_model="numpy")
def set_steps(
    state: NDArray[np.float32], block: int, grid: AffineGrid, halves: NDArray[np.int64]
) -> None:
    """Fix d and dmin of one of the super-blocks by its largest scale and minimum."""
    subs = 256 // grid.size
    scale = minimum = F0
    for k in range(block * subs, (block + 1) * subs):
        scale = max(scale, state[SCALE + k])
        minimum = max(minimum, -(state[OFFSET + k] + state[LOW + k]))
    halves[2 * block] = step_bits(scale, grid.top_scale)
    halves[2 * block + 1] = step_bits(minimum, grid.top_scale)
    for k in range(block * subs, (block + 1) * subs):
        state[STEP + k] = half_value(halves[2 * block])
        state[MIN_STEP + k] = half_value(halves[2 * block + 1])


@njit(**INNER, fastmath=RELAXED, error_model="numpy")
def start_codes(state: NDArray[np.float32], grid: AffineGrid) -> None:
    """The codes nearest to the real-valued scales and minima."""
    high = grid.top_scale
    for k in range(LANES):
        d, dmin = state[STEP + k], state[MIN_STEP + k]
        m = -(state[OFFSET + k] + state[LOW + k])
        state[CODE + k] = min(high, np.rint(state[SCALE + k] / d)) if d > F0 else F0
        state[MIN_CODE + k] = min(high, np.rint(m / dmin)) if dmin > F0 else F0
        state[BEST_CODE + k] = state[CODE + k]
        state[BEST_MIN + k] = state[MIN_CODE + k]
        state[ERROR + k] = np.inf


@njit(**INNER, error_model="numpy")
def refit_steps(
    state: NDArray[np.float32], block: int, grid: AffineGrid, halves: NDArray[np.int64]
) -> None:
    """Fit d and dmin of one of the super-blocks to its codes, by least squares."""
    subs = 256 // grid.size
    cc = cm = mm = cx = mx = F0
    for k in range(block * subs, (block + 1) * subs):
        c, m, low = state[BEST_CODE + k], state[BEST_MIN + k], state[LOW + k]
        q = state[BEST_Q + k]
        cc += c * c * state[BEST_QQ + k]
        cm += c * m * q
        mm += m * m * state[SUM_W + k]
        cx += c * (state[BEST_QV + k] + low * q)
        mx += m * (state[SUM_V + k] + low * state[SUM_W + k])
    d, dmin = half_value(halves[2 * block]), half_value(halves[2 * block + 1])
    det = cc * mm - cm * cm
    if det > SINGULAR * cc * mm:
        d, dmin = (cx * mm - cm * mx) / det, (cm * cx - cc * mx) / det
    halves[2 * block] = half_bits(max(d, F0))
    halves[2 * block + 1] = half_bits(max(dmin, F0))
    d, dmin = half_value(halves[2 * block]), half_value(halves[2 * block + 1])
    for k in range(block * subs, (block + 1) * subs):
        state[STEP + k] = d
        state[MIN_STEP + k] = dmin
        state[CODE + k] = state[BEST_CODE + k]
        state[MIN_CODE + k] = state[BEST_MIN + k]
        state[ERROR + k] = np.inf


@njit(**INNER, fastmath=RELAXED, error_model="numpy")
def try_code(
    data: NDArray[np.float32], state: NDArray[np.float32], grid: AffineGrid, change: np.float32
) -> None:
    """Try the scale code that is `change` away from the nearest, with the best minimum for it."""
    high = grid.top_scale
    for k in range(LANES):
        scale = state[STEP + k] * min(max(state[CODE + k] + change, F0), high)
        state[INVERSE + k] = F1 / scale if scale > F0 else F0
        state[SHIFT + k] = -(state[MIN_STEP + k] * state[MIN_CODE + k] + state[LOW + k])
    lanes.tally(data, state, grid.size, F0, grid.top)
    for k in range(LANES):
        w, v = state[SUM_W + k], state[SUM_V + k]
        q, qq, qv = state[SUM_Q + k], state[SUM_QQ + k], state[SUM_QV + k]
        step, low = state[MIN_STEP + k], state[LOW + k]
        code = min(max(state[CODE + k] + change, F0), high)
        scale = state[STEP + k] * code
        wanted = (v - scale * q) / w + low
        minimum = min(max(np.rint(-wanted / step), F0), high) if step > F0 else F0
        offset = -(step * minimum + low)
        error = (
            scale * (scale * qq + F2 * (offset * q - qv))
            + offset * (offset * w - F2 * v)
            + state[SUM_VV + k]
        )
        better = error < state[ERROR + k] - MARGIN * state[SUM_VV + k]
        state[ERROR + k] = error if better else state[ERROR + k]
        state[BEST_CODE + k] = code if better else state[BEST_CODE + k]
        state[BEST_MIN + k] = minimum if better else state[BEST_MIN + k]
        state[BEST_Q + k] = q if better else state[BEST_Q + k]
        state[BEST_QQ + k] = qq if better else state[BEST_QQ + k]
        state[BEST_QV + k] = qv if better else state[BEST_QV + k]


@njit(**INNER, error_model="numpy")
def fit(
    weights: NDArray[np.float32],
    columns: NDArray[np.float32],
    first: int,
    grid: AffineGrid,
    data: NDArray[np.float32],
    state: NDArray[np.float32],
) -> np.int64:
    """Find the real-valued scales and offsets of up to `LANES` sub-blocks.

    Args:
        weights: Whole sub-blocks, flat.
        columns: Importances of a row's columns, or none.
        first: Number of the first weight.
        grid: The encoding's numbers.
        data: Filled here; see `lanes`.
        state: Results: SCALE and OFFSET, the latter measured from LOW.

    Returns:
        The bits of the largest magnitude.
    """
    n = grid.size
    largest: np.int64 = lanes.transpose(weights, n, data)
    if columns.size:
        lanes.transpose_importance(columns, first, n, data)
    prepare(data, state, grid, columns.size > 0)
    for stretch in grid.stretches:
        try_span(data, state, grid, stretch)
    return largest


@njit(**INNER, error_model="numpy")
def choose_codes(
    grid: AffineGrid,
    data: NDArray[np.float32],
    state: NDArray[np.float32],
    halves: NDArray[np.int64],
) -> None:
    """After `fit`: the codes of the scales and minima, and the bits of d and dmin."""
    blocks = LANES * grid.size // 256
    for block in range(blocks):
        set_steps(state, block, grid, halves)
    start_codes(state, grid)
    for change in grid.changes:
        try_code(data, state, grid, change)
    for _ in range(grid.rounds):
        for block in range(blocks):
            refit_steps(state, block, grid, halves)
        for change in grid.changes:
            try_code(data, state, grid, change)


@njit(**INNER, fastmath=RELAXED, error_model="numpy")
def write_codes(
    weights: NDArray[np.float32],
    state: NDArray[np.float32],
    block: int,
    grid: AffineGrid,
    codes: NDArray[np.uint8],
) -> None:
    """Round the weights of one super-block on their final grids."""
    n, subs = grid.size, 256 // grid.size
    for j in range(subs):
        k = block * subs + j
        scale = state[STEP + k] * state[BEST_CODE + k]
        inverse = F1 / scale if scale > F0 else F0
        minimum = state[MIN_STEP + k] * state[BEST_MIN + k]
        part = weights[j * n : (j + 1) * n]
        sink = codes[j * n : (j + 1) * n]
        for i in range(n):
            q = min(max(np.rint((part[i] + minimum) * inverse), F0), grid.top)
            sink[i] = np.uint8(np.int32(q))
