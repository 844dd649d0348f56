"""Q4_0, Q5_0, Q4_1 and Q5_1 where columns differ in importance: grids are searched, not spanned.

Without importances the bytes are ggml's and take no search; see `small_blocks`, also for the
layout.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from app.encodings.kernels import affine_search, signed_search
from app.encodings.kernels.affine_search import LOW, OFFSET
from app.encodings.kernels.half import faults_of, half_bits, half_value, put_half
from app.encodings.kernels.inner import INNER
from app.encodings.kernels.lanes import LANES, RELAXED, SCALE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from app.encodings.kernels.numbers import AffineGrid, SignedGrid

SIZE = 32
"""Weights a block."""
GROUP = LANES * SIZE
"""Weights that are searched at once."""


@njit(nogil=True, cache=True, error_model="numpy")
def encode_signed(
    weights: NDArray[np.float32],
    columns: NDArray[np.float32],
    grid: SignedGrid,
    out: NDArray[np.uint8],
) -> int:
    """Q4_0 and Q5_0. Returns fault flags, 0 if all is well."""
    data = np.empty(2 * GROUP, np.float32)
    state = np.zeros(signed_search.ROWS, np.float32)
    codes = np.empty(SIZE, np.uint8)
    block_bytes = out.size // (weights.size // SIZE)
    faults = 0
    for start in range(0, weights.size, GROUP):
        group = weights[start : start + GROUP]
        largest = signed_search.fit(group, columns, start, grid, data, state)
        for k in range(group.size // SIZE):
            half = half_bits(state[SCALE + k])
            faults |= faults_of(largest, half)
            sink = out[(start // SIZE + k) * block_bytes :]
            put_half(half, sink, 0)
            place = half_value(half), half_value(half) * grid.lowest
            write_codes(group[k * SIZE : (k + 1) * SIZE], place, -2 * grid.lowest - 1, codes)
            pack_codes(codes, block_bytes - 2, sink[2:])
    return faults


@njit(nogil=True, cache=True, error_model="numpy")
def encode_affine(
    weights: NDArray[np.float32],
    columns: NDArray[np.float32],
    grid: AffineGrid,
    out: NDArray[np.uint8],
) -> int:
    """Q4_1 and Q5_1. Returns fault flags, 0 if all is well."""
    data = np.empty(2 * GROUP, np.float32)
    state = np.zeros(affine_search.ROWS, np.float32)
    codes = np.empty(SIZE, np.uint8)
    block_bytes = out.size // (weights.size // SIZE)
    faults = 0
    for start in range(0, weights.size, GROUP):
        group = weights[start : start + GROUP]
        largest = affine_search.fit(group, columns, start, grid, data, state)
        for k in range(group.size // SIZE):
            half = half_bits(state[SCALE + k])
            minimum = half_bits(state[OFFSET + k] + state[LOW + k])
            faults |= faults_of(largest, half) | faults_of(largest, minimum)
            sink = out[(start // SIZE + k) * block_bytes :]
            put_half(half, sink, 0)
            put_half(minimum, sink, 2)
            place = half_value(half), half_value(minimum)
            write_codes(group[k * SIZE : (k + 1) * SIZE], place, grid.top, codes)
            pack_codes(codes, block_bytes - 4, sink[4:])
    return faults


@njit(**INNER, fastmath=RELAXED, error_model="numpy")
def write_codes(
    weights: NDArray[np.float32],
    place: tuple[np.float32, np.float32],
    top: np.float32,
    codes: NDArray[np.uint8],
) -> None:
    """Round the weights of one block on the grid of a scale and a lowest value."""
    scale, low = place
    inverse = np.float32(1) / scale if scale != 0 else np.float32(0)
    high = np.float32(top)
    for i in range(weights.size):
        q = min(max(np.rint((weights[i] - low) * inverse), np.float32(0)), high)
        codes[i] = np.uint8(np.int32(q))


@njit(**INNER)
def pack_codes(codes: NDArray[np.uint8], size: int, out: NDArray[np.uint8]) -> None:
    """Nibbles, weight i with weight i + 16; before them, if there is room, the high bits."""
    if size > 16:
        mask = np.uint32(0)
        for i in range(32):
            mask |= np.uint32(np.uint32(codes[i] >> np.uint8(4)) << np.uint32(i))
        for i in range(4):
            out[i] = np.uint8(mask >> np.uint32(8 * i))
    for i in range(16):
        low, high = codes[i] & np.uint8(15), codes[16 + i] & np.uint8(15)
        out[size - 16 + i] = low | high << np.uint8(4)
