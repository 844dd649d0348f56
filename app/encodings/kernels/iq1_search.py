"""The search of IQ1_S and IQ1_M.

weight = d * (2 * code + 1) * (q + delta), with q of -1, 0, 1 and a delta of +1/8 or -1/8. Each
sub-block of 32 (IQ1_S) or 16 (IQ1_M) weights has a code of 3 bits for its scale, each span of 32 or
8 weights a delta, and each group of 8 weights a point of a grid: one of 2048 of the 6561
combinations of q.

1. Every sub-block gets a real-valued scale, as if all combinations were on the grid: a few scales
   around its root mean square are tried, each refitted by weighted least squares, and the best one
   is refitted anew.
2. d is set by the largest scale. Each sub-block looks at the codes around its own, with both
   deltas. Rounding without the grid bounds their errors from below; only where the bound is less
   than the best error so far are the groups moved onto the grid (`iq1_cells`).
3. With all points known, d follows by least squares.

Importance of a weight x: that of its column times 1 + `TILT` * |x| / rms of its sub-block.
With it, the error is below ggml's as ggml counts it, too, and so is the distance of a model's
answers from the original's.

The functions of step 2 work on single numbers. They neither make nor keep arrays, so they are
compiled without reference counting (`_nrt`), which took half of their time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit

from app.encodings.kernels.inner import INNER
from app.encodings.kernels.iq1_cells import GROUP, Cells
from app.encodings.kernels.iq1_numbers import CHANGES
from app.encodings.kernels.iq1_scales import (
    BEST_CODE,
    BOUND,
    CHOSEN,
    CODE,
    DELTA,
    ERRORS,
    F0,
    F1,
    F2,
    FOUND,
    GROUPS,
    INFINITE,
    LARGEST,
    ROUNDED,
    STEP,
    SUMS,
    SUPER,
    TRIALS,
    Shape,
    prepare,
    round_off_grid,
    search_scales,
    set_step,
    sum_products,
)
from app.encodings.kernels.lanes import LANES, RELAXED

if TYPE_CHECKING:
    from numpy.typing import NDArray

NUMBER = np.uint32(0xFF)
"""The bits of a cost that carry the number of the set of flips."""


class Trial(NamedTuple):
    """One code and one delta for one span of one lane."""

    lane: int
    side: int
    """1 if delta is negative."""
    at: int
    """Of the first group, relative to `ERRORS` and `ROUNDED`."""
    first: int
    """Group."""
    last: int
    inverse: np.float32
    delta: np.float32
    square: np.float32
    """What errors are multiplied by: the square of the scale in steps of d."""


@njit(**INNER, _nrt=False)
def add_up(state: NDArray[np.float32], single: int, to: int) -> None:
    """The sums of all sets of four single costs."""
    a, b, c, d = state[single], state[single + 1], state[single + 2], state[single + 3]
    ab, cd = a + b, c + d
    state[to] = F0
    state[to + 1], state[to + 2], state[to + 3] = a, b, ab
    state[to + 4], state[to + 5], state[to + 6], state[to + 7] = c, a + c, b + c, ab + c
    state[to + 8], state[to + 9], state[to + 10], state[to + 11] = d, a + d, b + d, ab + d
    state[to + 12], state[to + 13], state[to + 14], state[to + 15] = cd, a + cd, b + cd, ab + cd


@njit(**INNER, _nrt=False, fastmath=RELAXED, error_model="numpy")
def cheapest(
    data: NDArray[np.float32],
    state: NDArray[np.float32],
    flips: NDArray[np.uint8],
    listed: np.uint32,
    at: int,
    trial: Trial,
) -> np.uint32:
    """The lowest cost of the sets that are listed, and the set in its lowest bits.

    The first weight of the group is data[at].
    """
    importances = data.size // 2
    for i in range(GROUP):
        t = data[at + i * LANES] * trial.inverse - trial.delta
        state[SUMS + 32 + i] = data[importances + at + i * LANES] * abs(F2 * abs(t) - F1)
    add_up(state, SUMS + 32, SUMS)
    add_up(state, SUMS + 36, SUMS + 16)
    lowest = ~np.uint32(0)
    first = np.int64(listed >> np.uint32(5))
    for place in range(first, first + np.int64(listed & np.uint32(31))):
        flip = np.int64(flips[place])
        cost = state[SUMS + (flip & 15)] + state[SUMS + 16 + (flip >> 4)]
        lowest = min(lowest, (np.float32(cost).view(np.uint32) & ~NUMBER) | np.uint32(flip))
    return lowest


@njit(**INNER, _nrt=False, error_model="numpy")
def span_error(
    data: NDArray[np.float32],
    state: NDArray[np.float32],
    sets: NDArray[np.uint32],
    flips: NDArray[np.uint8],
    trial: Trial,
    bound: np.float32,
) -> np.float32:
    """Move the groups of a span onto the grid, as long as their error stays below `bound`.

    Returns the error, which is incomplete if it reaches `bound`.
    """
    error: np.float32 = state[ERRORS + trial.at + trial.first * LANES]
    for group in range(trial.first, trial.last):
        if error >= bound:
            break
        cell = np.int64(state[ROUNDED + trial.at + group * LANES])
        listed = sets[cell]
        if listed:
            at = group * GROUP * LANES + trial.lane
            lowest = cheapest(data, state, flips, listed, at, trial)
            error += np.uint32(lowest & ~NUMBER).view(np.float32) * trial.square
            cell ^= np.int64(lowest & NUMBER)
        state[FOUND + trial.side * GROUPS + group] = np.float32(cell | trial.side << 16)
    return error


@njit(**INNER, _nrt=False, error_model="numpy")
def lane_error(
    data: NDArray[np.float32],
    state: NDArray[np.float32],
    cells: tuple[NDArray[np.uint32], NDArray[np.uint8]],
    shape: Shape,
    row: int,
    best: np.float32,
) -> np.float32:
    """The error on the grid of one lane with the code of one trial; infinite if not below `best`.

    `row` is LANES times the number of the trial, plus the lane.
    """
    sets, flips = cells
    number, lane = row // LANES, row % LANES
    factor = F2 * (state[CODE + lane] + np.float32(CHANGES[number])) + F1
    scale = state[STEP + lane] * factor
    inverse = state[LARGEST + lane] / scale if scale > F0 else F0
    error = F0
    per = shape.span // GROUP
    first = 0
    while first < shape.sub // GROUP:
        up = ERRORS + (2 * number * GROUPS + first) * LANES + lane
        nearer = 0 if state[up] <= state[up + GROUPS * LANES] else 1
        least = limit = best - error
        for turn in range(2):
            side = turn ^ nearer
            delta = DELTA if side == 0 else -DELTA
            at = (2 * number + side) * GROUPS * LANES + lane
            trial = Trial(lane, side, at, first, first + per, inverse, delta, factor * factor)
            missed = span_error(data, state, sets, flips, trial, least)
            if missed < least:
                least = missed
                for group in range(first, first + per):
                    state[FOUND + 2 * GROUPS + group] = state[FOUND + side * GROUPS + group]
        if least >= limit:
            return INFINITE
        error += least
        first += per
    return error


@njit(**INNER, _nrt=False, error_model="numpy")
def choose(
    data: NDArray[np.float32],
    state: NDArray[np.float32],
    cells: Cells,
    shape: Shape,
    used: int,
) -> None:
    """Choose the code, the deltas and the points of the first `used` lanes."""
    lists = cells.sets, cells.flips
    for lane in range(used):
        best = INFINITE
        for _ in range(TRIALS):
            number = 0
            for other in range(1, TRIALS):
                if state[BOUND + other * LANES + lane] < state[BOUND + number * LANES + lane]:
                    number = other
            if not state[BOUND + number * LANES + lane] < best:
                break
            state[BOUND + number * LANES + lane] = INFINITE
            error = lane_error(data, state, lists, shape, number * LANES + lane, best)
            if error < best:
                best = error
                state[BEST_CODE + lane] = state[CODE + lane] + np.float32(CHANGES[number])
                for group in range(shape.sub // GROUP):
                    state[CHOSEN + group * LANES + lane] = state[FOUND + 2 * GROUPS + group]


@njit(**INNER, error_model="numpy")
def search(
    data: NDArray[np.float32],
    state: NDArray[np.float32],
    cells: Cells,
    shape: Shape,
    used: int,
) -> None:
    """Find everything for the sub-blocks in the first `used` lanes."""
    prepare(data, state, shape.sub)
    search_scales(data, state, shape)
    for first in range(0, LANES, SUPER // shape.sub):
        set_step(state, first, first + SUPER // shape.sub)
    for number in range(TRIALS):
        round_off_grid(data, state, shape, number)
    choose(data, state, cells, shape, used)
    sum_products(data, state, shape.sub)
