"""The nearest point of a grid, found exactly: what the lattice encodings (IQ1, IQ2, IQ3) share.

Such an encoding stores a group of weights as the number of a grid point, one of 256 to 2048 that
are a small part of all combinations of levels. Which point has the least weighted squared error
does not need lists of neighbours: a point's error is the sum of the errors of its two halves, and
of a half there are only 81 (four coordinates of three levels) or 64 (two of eight). So the errors
of all first and all second halves are added up level by level, and then

    min over first halves a of (error of a + min over those b that go with a of error of b)

takes one minimum a grid point. This is done for 32 groups side by side, each a lane with its own
target, importances and scale. The number of a second half travels in the lowest bits of its error,
so that the minimum brings it along.

Rows hold one number a lane. Tables have 32 numbers a row.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit

from app.encodings.grids import Grid
from app.encodings.kernels.simd import (
    below,
    both,
    byte_of,
    floats_of,
    least,
    load,
    spread,
    stamp,
    store,
    where,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

LANES = 32
"""Groups side by side: four vectors, or all groups of eight of a super-block."""
HALVES = 81
"""The most halves that there are."""
QUARTERS = 9
"""The most quarters."""
STAMP = np.int32(127)
"""The bits of an error that carry the number of a half."""
LARGEST = np.int32(0x7FFFFFFF)
F0, INFINITE = np.float32(0), np.float32(np.inf)


class Lattice(NamedTuple):
    """A grid as the search wants it. Halves are numbered by their levels, the first most."""

    values: NDArray[np.float32]
    """What the levels stand for."""
    coordinates: int
    """Of a half."""
    packed: NDArray[np.int32]
    """The values of each half, one a byte, the first lowest."""
    firsts: NDArray[np.int32]
    """The first halves that occur."""
    upper: NDArray[np.int32]
    """Where in the tables of quarters the first quarter of each of them starts."""
    lower: NDArray[np.int32]
    """Likewise the second quarter."""
    starts: NDArray[np.int32]
    """Where the partners of each of them start in `seconds`; one more for the end."""
    seconds: NDArray[np.int32]
    """Rows (in numbers) of the second halves."""
    numbers: NDArray[np.int32]
    """The number of the point by first * halves + second; -1 where there is none."""


@cache
def lattice_of(grid: Grid) -> Lattice:
    """Prepare a grid; a millisecond."""
    base, half = len(grid.values), grid.coordinates // 2
    levels = grid.levels().astype(np.int64)
    places = base ** np.arange(half)[::-1]
    first, second = levels[:, :half] @ places, levels[:, half:] @ places
    count, quarters = base**half, base ** (half // 2)
    numbers = np.full(count * count, -1, np.int32)
    numbers[first * count + second] = np.arange(grid.points)
    pairs = np.flatnonzero(numbers >= 0)  # in the order of the first halves
    firsts, starts = np.unique(pairs // count, return_index=True)
    digits = np.arange(count)[:, None] // places % base  # (count, half)
    values = np.array(grid.values, np.float32)
    bytes_of = values[digits].astype(np.int64) & 255
    packed = (bytes_of << (8 * np.arange(half))).sum(1)
    return Lattice(
        values,
        half,
        packed.astype(np.uint32).view(np.int32),
        firsts.astype(np.int32),
        (firsts // quarters * LANES).astype(np.int32),
        ((QUARTERS + firsts % quarters) * LANES).astype(np.int32),
        np.append(starts, len(pairs)).astype(np.int32),
        (pairs % count * LANES).astype(np.int32),
        numbers,
    )


@njit(nogil=True)
def tabulate(
    grid: Lattice,
    target: NDArray[np.float32],
    importance: NDArray[np.float32],
    scale: NDArray[np.float32],
    at: int,
    quarters: NDArray[np.float32],
) -> None:
    """Fill four tables with the errors of all quarters of a point.

    The error of a coordinate is importance * (target - scale * value)**2. `at` is the row of the
    first coordinate. A quarter is two coordinates of three levels, or one of eight.
    """
    values = grid.values
    for lane in range(0, LANES, 8):
        s = load(scale, lane)
        for quarter in range(4):
            sink = quarter * QUARTERS * LANES + lane
            if values.size == 3:
                row = (at + 2 * quarter) * LANES + lane
                x, w = load(target, row + LANES), load(importance, row + LANES)
                s0, s1, s2 = (
                    s * spread(values[0]),
                    s * spread(values[1]),
                    s * spread(values[2]),
                )
                e0, e1, e2 = (
                    w * (x - s0) * (x - s0),
                    w * (x - s1) * (x - s1),
                    w * (x - s2) * (x - s2),
                )
                x, w = load(target, row), load(importance, row)
                e = w * (x - s0) * (x - s0)
                store(quarters, sink, e + e0)
                store(quarters, sink + LANES, e + e1)
                store(quarters, sink + 2 * LANES, e + e2)
                e = w * (x - s1) * (x - s1)
                store(quarters, sink + 3 * LANES, e + e0)
                store(quarters, sink + 4 * LANES, e + e1)
                store(quarters, sink + 5 * LANES, e + e2)
                e = w * (x - s2) * (x - s2)
                store(quarters, sink + 6 * LANES, e + e0)
                store(quarters, sink + 7 * LANES, e + e1)
                store(quarters, sink + 8 * LANES, e + e2)
            else:
                row = (at + quarter) * LANES + lane
                x, w = load(target, row), load(importance, row)
                for level in range(8):
                    miss = x - s * spread(values[level])
                    store(quarters, sink + level * LANES, w * miss * miss)


@njit(nogil=True)
def join(rows: int, quarters: NDArray[np.float32], stamped: NDArray[np.int32]) -> None:
    """Add up the errors of the second halves and stamp them with their numbers."""
    mask = spread(STAMP)
    third, fourth = 2 * QUARTERS * LANES, 3 * QUARTERS * LANES
    for i in range(rows):
        for j in range(rows):
            number = i * rows + j
            name = spread(np.int32(number))
            for lane in range(0, LANES, 8):
                error = load(quarters, third + i * LANES + lane) + load(
                    quarters, fourth + j * LANES + lane
                )
                store(stamped, number * LANES + lane, stamp(error, mask, name))


@njit(nogil=True)
def nearest(
    grid: Lattice,
    quarters: NDArray[np.float32],
    stamped: NDArray[np.int32],
    error: NDArray[np.float32],
    halves: NDArray[np.int32],
) -> None:
    """Find the point of the least error in every lane.

    Args:
        grid: The points.
        quarters: Errors of the quarters, of which the first two are used.
        stamped: Errors of the second halves, with their numbers.
        error: Out: the least error is added.
        halves: Out: the numbers of the first halves, then those of the second.
    """
    e0 = e1 = e2 = e3 = spread(INFINITE)
    a0 = a1 = a2 = a3 = spread(np.int32(0))
    b0 = b1 = b2 = b3 = spread(np.int32(0))
    for i in range(grid.firsts.size):
        m0 = m1 = m2 = m3 = spread(LARGEST)
        for p in range(grid.starts[i], grid.starts[i + 1]):
            row = grid.seconds[p]
            m0 = least(load(stamped, row), m0)
            m1 = least(load(stamped, row + 8), m1)
            m2 = least(load(stamped, row + 16), m2)
            m3 = least(load(stamped, row + 24), m3)
        a = spread(grid.firsts[i])
        u, v = grid.upper[i], grid.lower[i]
        t = load(quarters, u) + load(quarters, v) + floats_of(m0)
        better = below(t, e0)
        e0, a0, b0 = where(better, t, e0), where(better, a, a0), where(better, m0, b0)
        t = load(quarters, u + 8) + load(quarters, v + 8) + floats_of(m1)
        better = below(t, e1)
        e1, a1, b1 = where(better, t, e1), where(better, a, a1), where(better, m1, b1)
        t = load(quarters, u + 16) + load(quarters, v + 16) + floats_of(m2)
        better = below(t, e2)
        e2, a2, b2 = where(better, t, e2), where(better, a, a2), where(better, m2, b2)
        t = load(quarters, u + 24) + load(quarters, v + 24) + floats_of(m3)
        better = below(t, e3)
        e3, a3, b3 = where(better, t, e3), where(better, a, a3), where(better, m3, b3)
    mask = spread(STAMP)
    store(error, 0, load(error, 0) + e0)
    store(error, 8, load(error, 8) + e1)
    store(error, 16, load(error, 16) + e2)
    store(error, 24, load(error, 24) + e3)
    store(halves, 0, a0)
    store(halves, 8, a1)
    store(halves, 16, a2)
    store(halves, 24, a3)
    store(halves, LANES, both(b0, mask))
    store(halves, LANES + 8, both(b1, mask))
    store(halves, LANES + 16, both(b2, mask))
    store(halves, LANES + 24, both(b3, mask))


@njit(nogil=True)
def tally(
    grid: Lattice,
    target: NDArray[np.float32],
    importance: NDArray[np.float32],
    at: int,
    halves: NDArray[np.int32],
    sums: NDArray[np.float32],
) -> None:
    """Add the importance-weighted sums of q v, then of q q, over the values q of the points found.

    `at` is the row of the first coordinate; `halves` is spent.
    """
    for k in range(2 * LANES):
        halves[k] = grid.packed[halves[k]]
    for lane in range(0, LANES, 8):
        qv, qq = load(sums, lane), load(sums, LANES + lane)
        for half in range(2):
            levels = load(halves, half * LANES + lane)
            for i in range(grid.coordinates):
                row = (at + half * grid.coordinates + i) * LANES + lane
                q = byte_of(levels, spread(np.int32(24 - 8 * i)))
                wq = load(importance, row) * q
                qv = qv + wq * load(target, row)
                qq = qq + wq * q
        store(sums, lane, qv)
        store(sums, LANES + lane, qq)
