"""The parts of the search of IQ1_S and IQ1_M that treat many sub-blocks side by side.

They are explained in `iq1_search`; rows, lanes and `data` in `lanes`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit

from app.encodings.kernels import numbers
from app.encodings.kernels.half import half_bits, half_value, step_bits
from app.encodings.kernels.inner import INNER
from app.encodings.kernels.iq1_cells import GROUP
from app.encodings.kernels.iq1_numbers import BETTER, CHANGES, REFITS, SCALES, TILT
from app.encodings.kernels.lanes import LANES, RELAXED

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUPER = 256
"""Weights a super-block."""
GROUPS = 4
"""Groups of a sub-block, at most."""
TRIALS = len(CHANGES)

# Rows of `state`, one number a lane each.
(LARGEST, RMS, INVERSE, UP_QV, UP_QQ, DOWN_QV, DOWN_QQ, SUM_QV, SUM_QQ, SCORE, SCALE, STEP, CODE,
 BEST_CODE) = (i * LANES for i in range(14))  # fmt: skip
CHOSEN = 14 * LANES
"""A row for each group: the cell that it ends in, and above it 1 where delta is negative."""
BOUND = CHOSEN + GROUPS * LANES
"""A row for each trial: no error can be below it."""
ERRORS = BOUND + TRIALS * LANES
"""A row for each trial, delta and group: the error off the grid. The first of a span has it all."""
ROUNDED = ERRORS + 2 * TRIALS * GROUPS * LANES
"""Likewise: the cells."""
SUMS = ROUNDED + 2 * TRIALS * GROUPS * LANES
"""Not rows: for one group, the costs of sets of flips of its halves, 16 each, and 8 single ones."""
FOUND = SUMS + 40
"""For one lane: the cells of its groups with delta up, with delta down, and with the better one."""
SIZE = FOUND + 3 * GROUPS

F0, F1, F2, HALF = np.float32(0), np.float32(1), np.float32(2), np.float32(0.5)
INFINITE = np.float32(np.inf)
DELTA = np.float32(0.125)
TOP = np.float32(7)
"""The largest code."""
TINY = np.float32(numbers.TINY)
TILTED = np.float32(TILT)


class Shape(NamedTuple):
    """What tells the two types apart."""

    sub: int
    """Weights a sub-block."""
    span: int
    """Weights a delta."""


@njit(**INNER, fastmath=RELAXED, error_model="numpy")
def prepare(data: NDArray[np.float32], state: NDArray[np.float32], sub: int) -> None:
    """Make the largest weight of every lane 1, so that no sum leaves float32; tilt importances."""
    for k in range(LANES):
        state[LARGEST + k] = state[RMS + k] = state[SCALE + k] = state[SCORE + k] = F0
    for i in range(sub):
        row = data[i * LANES : (i + 1) * LANES]
        for k in range(LANES):
            state[LARGEST + k] = max(state[LARGEST + k], abs(row[k]))
    for k in range(LANES):
        state[INVERSE + k] = F1 / state[LARGEST + k] if state[LARGEST + k] > TINY else F0
    for i in range(sub):
        row = data[i * LANES : (i + 1) * LANES]
        for k in range(LANES):
            row[k] *= state[INVERSE + k]
            state[RMS + k] += row[k] * row[k]
    for k in range(LANES):
        state[RMS + k] = np.sqrt(state[RMS + k] / np.float32(sub))
        state[INVERSE + k] = TILTED / state[RMS + k] if state[RMS + k] > F0 else F0
    for i in range(sub):
        row = data[i * LANES : (i + 1) * LANES]
        importances = data[(sub + i) * LANES : (sub + i + 1) * LANES]
        for k in range(LANES):
            importances[k] *= F1 + abs(row[k]) * state[INVERSE + k]


@njit(**INNER, fastmath=RELAXED, error_model="numpy")
def try_scale(data: NDArray[np.float32], state: NDArray[np.float32], shape: Shape) -> None:
    """Round off the grid at the scale 1 / INVERSE, refit it, and keep it where it is the best.

    Each span takes the delta that suits it better.
    """
    sub, span = shape
    for k in range(LANES):
        state[SUM_QV + k] = state[SUM_QQ + k] = F0
    for row in range(0, sub, GROUP):
        values = data[row * LANES : (row + GROUP) * LANES]
        importances = data[(sub + row) * LANES : (sub + row + GROUP) * LANES]
        if row % span == 0:
            for k in range(LANES):
                state[UP_QV + k] = state[UP_QQ + k] = F0
                state[DOWN_QV + k] = state[DOWN_QQ + k] = F0
        for k in range(LANES):
            inverse = state[INVERSE + k]
            up_qv, up_qq = state[UP_QV + k], state[UP_QQ + k]
            down_qv, down_qq = state[DOWN_QV + k], state[DOWN_QQ + k]
            for i in range(GROUP):  # unrolled: the sums stay in registers
                v, w = values[i * LANES + k], importances[i * LANES + k]
                t = v * inverse
                q = min(max(np.rint(t - DELTA), -F1), F1) + DELTA
                up_qv += w * q * v
                up_qq += w * q * q
                q = min(max(np.rint(t + DELTA), -F1), F1) - DELTA
                down_qv += w * q * v
                down_qq += w * q * q
            state[UP_QV + k], state[UP_QQ + k] = up_qv, up_qq
            state[DOWN_QV + k], state[DOWN_QQ + k] = down_qv, down_qq
        if (row + GROUP) % span == 0:
            for k in range(LANES):
                twice = F2 * state[INVERSE + k]
                up = state[UP_QQ + k] - twice * state[UP_QV + k]
                down = state[DOWN_QQ + k] - twice * state[DOWN_QV + k]
                state[SUM_QV + k] += state[UP_QV + k] if up <= down else state[DOWN_QV + k]
                state[SUM_QQ + k] += state[UP_QQ + k] if up <= down else state[DOWN_QQ + k]
    for k in range(LANES):
        scale = state[SUM_QV + k] / state[SUM_QQ + k]
        score = scale * state[SUM_QV + k]
        better = scale > F0 and score > state[SCORE + k] * np.float32(BETTER)
        state[SCORE + k] = score if better else state[SCORE + k]
        state[SCALE + k] = scale if better else state[SCALE + k]


@njit(**INNER, error_model="numpy")
def search_scales(data: NDArray[np.float32], state: NDArray[np.float32], shape: Shape) -> None:
    """Find a real-valued scale for every lane, in units of its largest weight."""
    for trial in range(len(SCALES) + REFITS):
        for k in range(LANES):
            guess = SCALES[trial] * state[RMS + k] if trial < len(SCALES) else state[SCALE + k]
            state[INVERSE + k] = F1 / guess
        try_scale(data, state, shape)


@njit(**INNER, error_model="numpy")
def set_step(state: NDArray[np.float32], first: int, last: int) -> None:
    """Fix d of the super-block in these lanes by its largest scale."""
    largest = F0
    for k in range(first, last):
        largest = max(largest, state[SCALE + k] * state[LARGEST + k])
    step = half_value(step_bits(largest, F2 * TOP + F1))
    for k in range(first, last):
        scale = state[SCALE + k] * state[LARGEST + k]
        code = HALF * (scale / step - F1) if step > F0 else F0
        state[STEP + k] = step
        state[CODE + k] = min(max(np.rint(code), F0), TOP)


@njit(**INNER, fastmath=RELAXED, error_model="numpy")
def round_off_grid(
    data: NDArray[np.float32], state: NDArray[np.float32], shape: Shape, number: int
) -> None:
    """Round on the scale whose code is CHANGES[number] away, with both deltas; sum the errors."""
    sub, span = shape
    bound = state[BOUND + number * LANES : BOUND + (number + 1) * LANES]
    for k in range(LANES):
        code = state[CODE + k] + np.float32(CHANGES[number])
        scale = state[STEP + k] * (F2 * code + F1)
        state[SCALE + k] = (F2 * code + F1) * (F2 * code + F1)
        state[INVERSE + k] = state[LARGEST + k] / scale if scale > F0 else F0
        bound[k] = F0 if F0 <= code <= TOP else INFINITE
    for row in range(0, sub, GROUP):
        for side in range(2):
            at = ((2 * number + side) * GROUPS + row // GROUP) * LANES
            round_group(data, state, shape, row, at, DELTA if side == 0 else -DELTA)
    for row in range(0, sub, span):
        up = ERRORS + (2 * number * GROUPS + row // GROUP) * LANES
        down = up + GROUPS * LANES
        for more in range(LANES, span // GROUP * LANES, LANES):
            for k in range(LANES):
                state[up + k] += state[up + more + k]
                state[down + k] += state[down + more + k]
        for k in range(LANES):
            bound[k] += min(state[up + k], state[down + k])


@njit(**INNER, fastmath=RELAXED, error_model="numpy")
def round_group(
    data: NDArray[np.float32],
    state: NDArray[np.float32],
    shape: Shape,
    row: int,
    at: int,
    delta: np.float32,
) -> None:
    """The cells and errors of the group at `row` of every lane, into the rows `at`."""
    values = data[row * LANES : (row + GROUP) * LANES]
    importances = data[(shape.sub + row) * LANES : (shape.sub + row + GROUP) * LANES]
    errors = state[ERRORS + at : ERRORS + at + LANES]
    cells = state[ROUNDED + at : ROUNDED + at + LANES]
    for k in range(LANES):
        error = cell = F0
        for i in range(GROUP):
            t = values[i * LANES + k] * state[INVERSE + k] - delta
            rest = min(abs(t), abs(abs(t) - F1))
            error += importances[i * LANES + k] * rest * rest
            cell += np.float32(1 << i) if abs(t) > HALF else F0
            cell += np.float32(256 << i) if t < F0 else F0
        errors[k] = error * state[SCALE + k]
        cells[k] = cell


@njit(**INNER, fastmath=RELAXED, error_model="numpy")
def sum_products(data: NDArray[np.float32], state: NDArray[np.float32], sub: int) -> None:
    """Sum importance * q * weight and importance * q**2 of what was chosen, for every lane."""
    for k in range(LANES):
        state[SUM_QV + k] = state[SUM_QQ + k] = F0
    for row in range(0, sub, GROUP):
        values = data[row * LANES : (row + GROUP) * LANES]
        importances = data[(sub + row) * LANES : (sub + row + GROUP) * LANES]
        at = CHOSEN + row // GROUP * LANES
        chosen = state[at : at + LANES]
        for k in range(LANES):
            cell = np.int32(chosen[k])
            delta = DELTA - np.float32(cell >> 16) * F2 * DELTA
            qv = qq = F0
            for i in range(GROUP):
                large = np.float32((cell >> np.int32(i)) & np.int32(1))
                sign = np.float32((cell >> np.int32(i + GROUP)) & np.int32(1))
                q = large * (F1 - F2 * sign) + delta
                wq = importances[i * LANES + k] * q
                qv += wq * values[i * LANES + k]
                qq += wq * q
            state[SUM_QV + k] += qv
            state[SUM_QQ + k] += qq


@njit(**INNER, error_model="numpy")
def fitted_step(state: NDArray[np.float32], first: int, last: int) -> np.int64:
    """The bits of the best d for what was chosen in these lanes."""
    qv = qq = F0
    for k in range(first, last):
        factor = F2 * state[BEST_CODE + k] + F1
        qv += factor * state[LARGEST + k] * state[SUM_QV + k]
        qq += factor * factor * state[SUM_QQ + k]
    old = state[STEP + first]
    fitted = half_bits(max(qv / qq, F0))  # 0 where even the smallest d is too large
    new = half_value(fitted)
    old_error, new_error = old * (old * qq - F2 * qv), new * (new * qq - F2 * qv)
    kept: np.int64 = fitted if new_error < old_error < INFINITE else half_bits(old)
    return kept
