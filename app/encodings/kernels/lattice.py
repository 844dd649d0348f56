"""The nearest point of a grid, found exactly; for IQ2 and IQ3.

Such an encoding stores a group of weights as the number of a grid point, one of 256 to 1024 that
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
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import njit

from app.encodings.grids import Grid
from app.encodings.kernels.inner import INNER
from app.encodings.kernels.simd import (
    below,
    bits_of,
    byte_of,
    floats_of,
    least,
    load,
    spread,
    store,
    where,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

part = njit(**INNER, error_model="numpy")

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


class Search(NamedTuple):
    """What is looked for in 32 groups of eight weights side by side, and what was found.

    Arrays are of rows of 32 numbers, one a lane, and flat.
    """

    target: NDArray[np.float32]
    """8 rows, one a coordinate."""
    importance: NDArray[np.float32]
    """8 rows."""
    scale: NDArray[np.float32]
    """1 row: what the values of the grid are multiplied by."""
    error: NDArray[np.float32]
    """1 row: the errors of the points found."""
    products: NDArray[np.float32]
    """1 row: the sums of importance * target * value."""
    squares: NDArray[np.float32]
    """1 row: the sums of importance * value**2."""
    halves: NDArray[np.int32]
    """2 rows for each point: the numbers of its first half and of its second half."""
    quarters: NDArray[np.float32]
    stamped: NDArray[np.int32]


class Lattice(NamedTuple):
    """A grid as the search wants it. Halves are numbered by their levels, the first most."""

    values: NDArray[np.float32]
    """What the levels stand for."""
    coordinates: int
    """Of a half."""
    floats: NDArray[np.float32]
    """The values of each point."""
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
        values[levels].ravel(),
        packed.astype(np.uint32).view(np.int32),
        firsts.astype(np.int32),
        (firsts // quarters * LANES).astype(np.int32),
        ((QUARTERS + firsts % quarters) * LANES).astype(np.int32),
        np.append(starts, len(pairs)).astype(np.int32),
        (pairs % count * LANES).astype(np.int32),
        numbers,
    )


@part
def new_search() -> Search:
    """Room for a search."""
    return Search(
        np.zeros(8 * LANES, np.float32),
        np.ones(8 * LANES, np.float32),
        np.zeros(LANES, np.float32),
        np.zeros(LANES, np.float32),
        np.zeros(LANES, np.float32),
        np.zeros(LANES, np.float32),
        np.zeros(4 * LANES, np.int32),
        np.empty(4 * QUARTERS * LANES, np.float32),
        np.empty(HALVES * LANES, np.int32),
    )


@part
def tabulate(grid: Lattice, search: Search, at: int) -> None:
    """Fill four tables with the errors of all quarters of a point.

    The error of a coordinate is importance * (target - scale * value)**2. A quarter is two
    coordinates of three levels, or one of eight.
    """
    values, sink = grid.values, search.quarters
    for lane in range(0, LANES, 8):
        s = load(search.scale, lane)
        s0, s1, s2 = s * spread(values[0]), s * spread(values[1]), s * spread(values[2])
        for quarter in range(4):
            to = quarter * QUARTERS * LANES + lane
            if values.size > 3:
                row = (at + quarter) * LANES + lane
                x, w = load(search.target, row), load(search.importance, row)
                for level in range(values.size):
                    x0 = x - s * spread(values[level])
                    store(sink, to + level * LANES, w * x0 * x0)
                continue
            row = (at + 2 * quarter + 1) * LANES + lane
            x, w = load(search.target, row), load(search.importance, row)
            x0, x1, x2 = x - s0, x - s1, x - s2
            e0, e1, e2 = w * x0 * x0, w * x1 * x1, w * x2 * x2
            row -= LANES
            x, w = load(search.target, row), load(search.importance, row)
            for level in range(3):
                x0 = x - s * spread(values[level])
                e = w * x0 * x0
                store(sink, to + (3 * level) * LANES, e + e0)
                store(sink, to + (3 * level + 1) * LANES, e + e1)
                store(sink, to + (3 * level + 2) * LANES, e + e2)


@part
def join(grid: Lattice, search: Search) -> None:
    """Add up the errors of the second halves and stamp them with their numbers."""
    rows = 9 if grid.values.size == 3 else 8
    kept = spread(~STAMP)
    for i in range(rows):
        for j in range(rows):
            name = spread(np.int32(i * rows + j))
            u, v = (2 * QUARTERS + i) * LANES, (3 * QUARTERS + j) * LANES
            for lane in range(0, LANES, 8):
                error = load(search.quarters, u + lane) + load(search.quarters, v + lane)
                to = (i * rows + j) * LANES + lane
                store(search.stamped, to, bits_of(error) & kept | name)


@part
def nearest(grid: Lattice, search: Search, at: int) -> None:
    """Find the point of the least error in every lane, from the tables."""
    quarters, stamped = search.quarters, search.stamped
    e0 = e1 = e2 = e3 = spread(INFINITE)
    a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = spread(np.int32(0))
    for i in range(grid.firsts.size):
        m0 = m1 = m2 = m3 = spread(LARGEST)
        for p in range(grid.starts[i], grid.starts[i + 1]):
            row = grid.seconds[p]
            m0 = least(load(stamped, row), m0)
            m1 = least(load(stamped, row + 8), m1)
            m2 = least(load(stamped, row + 16), m2)
            m3 = least(load(stamped, row + 24), m3)
        a, u, v = spread(grid.firsts[i]), grid.upper[i], grid.lower[i]
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
    put(search, at, 0, e0, a0, b0)
    put(search, at, 8, e1, a1, b1)
    put(search, at, 16, e2, a2, b2)
    put(search, at, 24, e3, a3, b3)


@part
def put(search: Search, at: int, lane: int, error: Any, first: Any, second: Any) -> None:
    """Store what eight lanes found."""
    store(search.error, lane, load(search.error, lane) + error)
    row = at // 2 * LANES + lane
    store(search.halves, row, first)
    store(search.halves, row + LANES, second & spread(STAMP))


@part
def tally(grid: Lattice, search: Search, at: int) -> None:
    """Add the sums over the points found."""
    levels = search.stamped  # of no more use
    for k in range(2 * LANES):
        levels[k] = grid.packed[search.halves[at // 2 * LANES + k]]
    for lane in range(0, LANES, 8):
        qv, qq = load(search.products, lane), load(search.squares, lane)
        for half in range(2):
            packed = load(levels, half * LANES + lane)
            for i in range(grid.coordinates):
                row = (at + half * grid.coordinates + i) * LANES + lane
                q = byte_of(packed, i)
                wq = load(search.importance, row) * q
                qv = qv + wq * load(search.target, row)
                qq = qq + wq * q
        store(search.products, lane, qv)
        store(search.squares, lane, qq)


@part
def find(grid: Lattice, search: Search) -> None:
    """Find the nearest points for the targets and scales in `search`, and what they come to."""
    zero = spread(F0)
    for lane in range(0, LANES, 8):
        store(search.error, lane, zero)
        store(search.products, lane, zero)
        store(search.squares, lane, zero)
    for at in range(0, 8, 2 * grid.coordinates):
        tabulate(grid, search, at)
        join(grid, search)
        nearest(grid, search, at)
        tally(grid, search, at)
