"""The search of IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS and IQ3_S: scales and grid points of super-blocks.

A super-block of 256 weights has a float16 d; a sub-block of 16 or 32 weights has a code c of 4 bits
and so the scale d * (2 c + 1) * unit; and a group of 8 (IQ2) or 4 (IQ3) weights is a point on a
grid of magnitudes, with signs apart. The XXS and XS types store 7 signs for 8 weights: the number
of minus signs is even. Where it is odd by nature, the weight whose wrong sign costs least is
flipped: its magnitude counts as negative from then on, and any grid value misses it.

The nearest points under the importances are found exactly (`lattice`), so the search is over scales
alone, and few are needed. Every sub-block tries some, guessed from its mean square and its largest
weight, each refitted by least squares to the points it led to. Then d is chosen such that the
scales wanted are near to scales that can be stored, each by the error that missing it causes. Then
each sub-block looks up the nearest code, for IQ3 also the one on the other side of its wish. At
last d is fitted to all points, and these are looked up again.

All 32 groups of eight of a super-block are searched side by side. What belongs to a sub-block is
kept once for each of its lanes.

Importance of a weight x: that of its column times (2 + |x| / rms of the super-block).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from app.encodings.kernels import iq_numbers
from app.encodings.kernels.half import MAGNITUDE, half_bits, half_value
from app.encodings.kernels.iq_numbers import STEPS, Kind
from app.encodings.kernels.lattice import LANES, Lattice, Search, find, new_search, part
from app.encodings.kernels.simd import (
    below,
    exchanged,
    greatest,
    least,
    load,
    magnitude,
    root,
    rounded,
    spread,
    store,
    total,
    where,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUPER = 256
"""Weights a super-block."""
F0, F1, F2, HALF = np.float32(0), np.float32(1), np.float32(2), np.float32(0.5)
INFINITE = np.float32(np.inf)
TOP = np.float32(iq_numbers.LARGEST_CODE)
"""The largest code."""
REACH = np.float32(2 * iq_numbers.LARGEST_CODE + 1)
"""From the largest scale to the smallest."""
NORMAL = 0x0400
"""Bits of the smallest normal float16; below it, d is too coarse to be fitted."""
SMALLEST = np.float32(1e-37)
"""Weights below it count as zero."""
SHARE = np.float32(iq_numbers.SHARE)
FEWEST, MOST = np.float32(iq_numbers.FEWEST), np.float32(iq_numbers.MOST)


class Scales(NamedTuple):
    """Rows of one number a lane, the same in all lanes of a sub-block; and the signs."""

    mean: NDArray[np.float32]
    """Root of the weighted mean square."""
    peak: NDArray[np.float32]
    """The largest magnitude."""
    best: NDArray[np.float32]
    """The best scale so far, or the best code."""
    score: NDArray[np.float32]
    """What it gains, or its error."""
    products: NDArray[np.float32]
    """Its sum of importance * target * value."""
    squares: NDArray[np.float32]
    """Its sum of importance * value**2."""
    nearest: NDArray[np.float32]
    """The code nearest to the scale that was wanted; codes are kept as 2 c + 1."""
    side: NDArray[np.float32]
    """2 where that scale is above the nearest, or else -2."""
    tried: NDArray[np.float32]
    """The code that is being tried."""
    signs: NDArray[np.int32]
    """The signs of a group of eight, one a bit; 1 is minus. Of one lane."""


@part
def new_scales() -> Scales:
    """Room for the scales of a super-block."""
    return Scales(
        np.zeros(LANES, np.float32),
        np.zeros(LANES, np.float32),
        np.zeros(LANES, np.float32),
        np.zeros(LANES, np.float32),
        np.zeros(LANES, np.float32),
        np.zeros(LANES, np.float32),
        np.zeros(LANES, np.float32),
        np.zeros(LANES, np.float32),
        np.zeros(LANES, np.float32),
        np.zeros(LANES, np.int32),
    )


@part
def shared_sum(kind: Kind, numbers: Any) -> Any:
    """The sum over the lanes of each sub-block, in all of its lanes."""
    numbers = numbers + exchanged(numbers, 1)
    return numbers + exchanged(numbers, 2) if kind.lanes == 4 else numbers


@part
def shared_peak(kind: Kind, numbers: Any) -> Any:
    """The largest over the lanes of each sub-block, in all of its lanes."""
    numbers = greatest(numbers, exchanged(numbers, 1))
    return greatest(numbers, exchanged(numbers, 2)) if kind.lanes == 4 else numbers


@part
def spread_out(
    weights: NDArray[np.float32],
    importance: NDArray[np.float32],
    inverse: np.float32,
    search: Search,
) -> np.float32:
    """Put weights (as parts of the largest) and importances into lanes; returns the mean square."""
    squares = F0
    for k in range(LANES):
        for i in range(8):
            v = weights[8 * k + i] * inverse
            search.target[i * LANES + k] = v
            squares += v * v
    if importance.size:
        for k in range(LANES):
            for i in range(8):
                search.importance[i * LANES + k] = importance[8 * k + i]
    else:
        search.importance[:] = F1
    return squares / np.float32(SUPER)


@part
def take_signs(kind: Kind, search: Search, scales: Scales, square: np.float32) -> None:
    """Leave magnitudes in the lanes, and set the importances, the signs and what they come to."""
    per_rms = spread(F1 / np.sqrt(square) if square > F0 else F0)
    zero, nothing = spread(F0), spread(np.int32(0))
    for lane in range(0, LANES, 8):
        signs = nothing
        squares = weight = peak = zero
        for i in range(8):
            row = i * LANES + lane
            v = load(search.target, row)
            signs = signs | where(below(v, zero), spread(np.int32(1 << i)), nothing)
            v = magnitude(v)
            w = load(search.importance, row) * (spread(SHARE) + v * per_rms)
            store(search.target, row, v)
            store(search.importance, row, w)
            squares = squares + w * v * v
            weight = weight + w
            peak = greatest(v, peak)
        store(scales.signs, lane, signs)
        mean = shared_sum(kind, squares) / shared_sum(kind, weight)
        store(scales.mean, lane, root(mean))
        store(scales.peak, lane, shared_peak(kind, peak))


@part
def flip_odd(search: Search, scales: Scales) -> None:
    """Make the number of minus signs even by the flip that costs least.

    A small weight v takes the smallest value t, now with the error (v + t)**2 and not (v - t)**2:
    4 v t more, t being alike for all.
    """
    nothing, one = spread(np.int32(0)), spread(np.int32(1))
    for lane in range(0, LANES, 8):
        victim = odd = nothing
        cheapest = spread(INFINITE)
        signs = load(scales.signs, lane)
        for i in range(8):
            row = i * LANES + lane
            v, bit = load(search.target, row), spread(np.int32(1 << i))
            cost = load(search.importance, row) * v
            cheaper = below(cost, cheapest)
            cheapest = where(cheaper, cost, cheapest)
            victim = where(cheaper, bit, victim)
            odd = odd ^ where(below(nothing, signs & bit), one, nothing)
        victim = where(below(nothing, odd), victim, nothing)
        store(scales.signs, lane, signs ^ victim)
        for i in range(8):
            row = i * LANES + lane
            v = load(search.target, row)
            flipped = below(nothing, victim & spread(np.int32(1 << i)))
            store(search.target, row, where(flipped, spread(F0) - v, v))


@part
def number_points(grid: Lattice, search: Search, points: NDArray[np.int32]) -> None:
    """The numbers of the points found, in the order of the weights."""
    halves = 81 if grid.values.size == 3 else 64
    parts = points.size // LANES
    for which in range(parts):
        first = search.halves[2 * which * LANES :]
        for k in range(LANES):
            pair = first[k] * halves + first[LANES + k]
            points[parts * k + which] = grid.numbers[pair]


@part
def propose_scales(
    start: NDArray[np.float32], grid: Lattice, search: Search, scales: Scales
) -> None:
    """Set the scales that are to be tried from one of the starts."""
    top = spread(F1 / grid.values[grid.values.size - 1])
    for lane in range(0, LANES, 8):
        mean = spread(start[0]) * load(scales.mean, lane)
        peak = spread(start[1]) * load(scales.peak, lane)
        store(search.scale, lane, (mean + peak) * top)


@part
def judge_scales(kind: Kind, search: Search, scales: Scales) -> None:
    """Refit the scales to the points found; keep them where that gains more than before."""
    zero = spread(F0)
    for lane in range(0, LANES, 8):
        qv = greatest(shared_sum(kind, load(search.products, lane)), zero)
        qq = shared_sum(kind, load(search.squares, lane))
        scale = qv / qq
        gain = scale * qv
        score = load(scales.score, lane)
        better = below(score, gain)
        store(scales.score, lane, where(better, gain, score))
        store(scales.best, lane, where(better, scale, load(scales.best, lane)))
        store(scales.squares, lane, where(better, qq, load(scales.squares, lane)))


@part
def codes_for(scale: Any, inverse: Any) -> Any:
    """2 c + 1 with the nearest code c."""
    code = rounded((scale * inverse - spread(F1)) * spread(HALF))
    code = least(greatest(code, spread(F0)), spread(TOP))
    return code + code + spread(F1)


@part
def choose_step(scales: Scales) -> np.float32:
    """The d (times unit) whose multiples are nearest to the scales wanted."""
    peak = F0
    for k in range(LANES):
        peak = max(peak, scales.best[k])
    best, least_missed = F0, INFINITE
    for i in range(STEPS):
        steps = FEWEST + (MOST - FEWEST) * np.float32(i) / np.float32(STEPS - 1)
        inverse = spread(steps / peak if peak > F0 else F0)
        products = squares = spread(F0)
        for lane in range(0, LANES, 8):
            weight = load(scales.squares, lane)
            wanted = load(scales.best, lane)
            code = codes_for(wanted, inverse)
            products = products + weight * wanted * code
            squares = squares + weight * code * code
        qv, qq = total(products), total(squares)
        missed = -qv * qv / qq  # and the squares of the scales wanted, the same for all
        if missed < least_missed:
            best, least_missed = qv / qq, missed
    return best


@part
def d_bits(wanted: np.float32) -> np.int64:
    """The float16 for d, as bits: the nearest, but where float16 has few digits, the one above.

    Codes can make up for a d that is too large, down to a 31st; twice too large a scale is
    still better than none.
    """
    half: np.int64 = half_bits(wanted)
    needed = half < NORMAL and half_value(half) < wanted and wanted * F2 * REACH > half_value(1)
    return half + 1 if needed else half


@part
def round_scales(scales: Scales, step: np.float32) -> None:
    """Set the codes nearest to the scales wanted, and start over with the scores."""
    inverse = spread(F1 / step if step > F0 else F0)
    for lane in range(0, LANES, 8):
        wanted = load(scales.best, lane)
        code = codes_for(wanted, inverse)
        further = below(spread(step) * code, wanted)
        store(scales.nearest, lane, code)
        store(scales.side, lane, where(further, spread(F2), spread(-F2)))
        store(scales.score, lane, spread(INFINITE))


@part
def propose_codes(change: np.float32, step: np.float32, search: Search, scales: Scales) -> None:
    """Set the scales of codes that are `change` beyond the nearest, on the side of the wish."""
    for lane in range(0, LANES, 8):
        code = load(scales.nearest, lane) + spread(change) * load(scales.side, lane)
        code = least(greatest(code, spread(F1)), spread(REACH))
        store(scales.tried, lane, code)
        store(search.scale, lane, spread(step) * code)


@part
def judge_codes(kind: Kind, search: Search, scales: Scales) -> None:
    """Keep the codes tried where the error is less than before."""
    for lane in range(0, LANES, 8):
        error, score = shared_sum(kind, load(search.error, lane)), load(scales.score, lane)
        better = below(error, score)
        store(scales.score, lane, where(better, error, score))
        code = where(better, load(scales.tried, lane), load(scales.best, lane))
        products = where(better, load(search.products, lane), load(scales.products, lane))
        squares = where(better, load(search.squares, lane), load(scales.squares, lane))
        store(scales.best, lane, code)
        store(scales.products, lane, products)
        store(scales.squares, lane, squares)


@part
def refit(scales: Scales) -> np.float32:
    """The d (times unit) that fits the points found best."""
    products = squares = spread(F0)
    for lane in range(0, LANES, 8):
        code = load(scales.best, lane)
        products = products + code * load(scales.products, lane)
        squares = squares + code * code * load(scales.squares, lane)
    fitted: np.float32 = max(total(products), F0) / total(squares)
    return fitted


@part
def apply_step(step: np.float32, search: Search, scales: Scales) -> None:
    """Set the scales that d (times unit) and the codes come to."""
    for lane in range(0, LANES, 8):
        store(search.scale, lane, spread(step) * load(scales.best, lane))


@part
def search_block(
    weights: NDArray[np.float32],
    importance: NDArray[np.float32],
    kind: Kind,
    grid: Lattice,
    room: tuple[Search, Scales, NDArray[np.int32]],
) -> tuple[np.int64, np.int64]:
    """Find d, the codes (as 2 c + 1, in `scales.best`), signs and points of one super-block.

    Returns:
        The bits of the largest magnitude and those of d.
    """
    search, scales, points = room
    bits = weights.view(np.uint32)
    top = np.uint32(0)
    for i in range(SUPER):
        top = max(top, np.uint32(bits[i] & MAGNITUDE))
    largest = np.uint32(top).view(np.float32)
    inverse = F1 / largest if SMALLEST < largest < INFINITE else F0
    square = spread_out(weights, importance, inverse, search)
    take_signs(kind, search, scales, square)
    if kind.even:
        flip_odd(search, scales)
    for lane in range(0, LANES, 8):
        store(scales.best, lane, spread(F0))
        store(scales.score, lane, spread(-F1))
    to_d, to_step = largest / np.float32(kind.unit), inverse * np.float32(kind.unit)
    starts, trials = kind.starts.shape[0], kind.starts.shape[0] + kind.changes.size
    half, step = np.int64(0), F0
    for trial in range(trials + 1):  # one loop: `find` is long, and is compiled where it stands
        if trial == starts:
            half = d_bits(choose_step(scales) * to_d)
            step = half_value(half) * to_step
            round_scales(scales, step)
        if trial < starts:
            propose_scales(kind.starts[trial], grid, search, scales)
        elif trial < trials:
            propose_codes(kind.changes[trial - starts], step, search, scales)
        else:
            half = half_bits(refit(scales) * to_d) if half >= NORMAL else half
            apply_step(half_value(half) * to_step, search, scales)
        find(grid, search)
        if trial < starts:
            judge_scales(kind, search, scales)
        elif trial < trials:
            judge_codes(kind, search, scales)
    number_points(grid, search, points)
    return np.int64(top), half


@part
def new_room(parts: int) -> tuple[Search, Scales, NDArray[np.int32]]:
    """Room for the search of a super-block with `parts` points for eight weights."""
    return new_search(), new_scales(), np.zeros(parts * LANES, np.int32)
