"""Rounding one column after the other, with the errors of those before; see `methods.feedback`.

Serial, without state, and without the interpreter lock, as in `app.encodings.kernels`: several
threads work side by side, each with rows of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from app.encodings.kernels.simd import greatest, least, load, rounded, spread, store

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROWS = 32
"""Rows of a weight that go through all columns together: four vectors."""


@njit(nogil=True, cache=True, error_model="numpy")
def round_columns(
    left: NDArray[np.float32],
    passed: NDArray[np.float32],
    grids: NDArray[np.float32],
    places: NDArray[np.int64],
    limits: tuple[float, float],
    out: NDArray[np.float32],
) -> None:
    """Round columns in turn, each corrected by the errors of those before it.

    Args:
        left: The columns, (columns * rows,); rows a multiple of `ROWS`. Not changed.
        passed: What a column passes on, (columns, columns); the diagonal scales its error.
        grids: Steps, offsets and 1 / steps, (3 * grids * rows,).
        places: Which grid each column has, (columns,).
        limits: The lowest and the highest code.
        out: Filled with codes, and behind them with errors: twice the size of `left`.
    """
    columns = len(places)
    rows = left.size // columns
    offsets, inverses, errors = grids.size // 3, grids.size // 3 * 2, left.size
    lowest, highest = spread(np.float32(limits[0])), spread(np.float32(limits[1]))
    for start in range(0, rows, ROWS):
        for j in range(columns):
            at = j * rows + start
            w0, w1 = load(left, at), load(left, at + 8)
            w2, w3 = load(left, at + 16), load(left, at + 24)
            for k in range(j):
                share, of = spread(passed[k, j]), errors + k * rows + start
                w0 = w0 - share * load(out, of)
                w1 = w1 - share * load(out, of + 8)
                w2 = w2 - share * load(out, of + 16)
                w3 = w3 - share * load(out, of + 24)
            scale, grid = spread(passed[j, j]), places[j] * rows + start
            for w in (w0, w1, w2, w3):
                offset = load(grids, offsets + grid)
                code = (w - offset) * load(grids, inverses + grid)
                code = least(greatest(rounded(code), lowest), highest)
                store(out, at, code)
                store(out, errors + at, (w - code * load(grids, grid) - offset) / scale)
                at += 8
                grid += 8
