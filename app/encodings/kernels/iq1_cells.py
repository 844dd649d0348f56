"""How groups of eight weights get onto the grid of IQ1_S and IQ1_M.

Let t be the weights of a group in units of its scale, without delta. Each coordinate is rounded to
the nearer one of 0 and its own sign; from there it may be flipped to the other of the two, at a
cost that is not negative. What is further away (beyond 0, or beyond the sign) is not looked at: it
is the nearest point in about one case of ten thousand. So before it is moved onto the grid, a group
is one of 65536 cells: eight bits for the signs of t and eight for what is rounded to +-1 ("large").

A set of flips, again eight bits, leads from a cell to a point or to none; that depends on the cell
alone. And no set is needed that contains another one which leads to a point. Half of the cells are
points already; the others are left with nine sets on average, 27 at most.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit

from app.encodings.grids import IQ1

if TYPE_CHECKING:
    from numpy.typing import NDArray

GROUP = 8
"""Weights a point."""
ALL = 1 << GROUP
"""Sets of flips."""
CELLS = 1 << 2 * GROUP
"""A cell is sign << 8 | large."""
NO_POINT = 0xFFFF
MOST_SETS = 27
"""The most sets of flips of a cell."""


class Cells(NamedTuple):
    """What the searches look up for each cell."""

    sets: NDArray[np.uint32]
    """first << 5 | count of its sets in `flips`; 0 where the cell is a point."""
    flips: NDArray[np.uint8]
    points: NDArray[np.uint16]
    """The number of the point that the cell is."""


@cache
def cells() -> Cells:
    """Work them out, a tenth of a second; they take 0.7 MB."""
    points = np.full(CELLS, NO_POINT, np.uint16)
    place(IQ1.levels(), points)
    sets = np.zeros(CELLS, np.uint32)
    flips = np.empty(CELLS // 2 * MOST_SETS, np.uint8)
    smallest_first = np.array(sorted(range(ALL), key=int.bit_count), np.uint8)
    count = list_sets(points, smallest_first, sets, flips)
    return Cells(sets, flips[:count].copy(), points)


@njit(nogil=True, cache=True)
def place(levels: NDArray[np.uint8], points: NDArray[np.uint16]) -> None:
    """Enter the points by their levels 0, 1, 2 into their cells; a 0 may have had either sign."""
    for number in range(len(levels)):
        large = sign = 0
        for i in range(GROUP):
            large |= (levels[number, i] != 1) << i
            sign |= (levels[number, i] == 0) << i
        for signs in range(ALL):
            if signs & large == sign:
                points[signs << GROUP | large] = number


@njit(nogil=True, cache=True)
def list_sets(
    points: NDArray[np.uint16],
    smallest_first: NDArray[np.uint8],
    sets: NDArray[np.uint32],
    flips: NDArray[np.uint8],
) -> int:
    """List the sets of flips that are needed; returns how many there are in all."""
    count = 0
    for cell in range(CELLS):
        if points[cell] != NO_POINT:
            continue
        first = count
        for flip in smallest_first:
            if points[cell ^ flip] != NO_POINT:
                contained = False
                for at in range(first, count):
                    contained |= flips[at] & flip == flips[at]
                if not contained:
                    flips[count] = flip
                    count += 1
        sets[cell] = first << 5 | (count - first)
    return count
