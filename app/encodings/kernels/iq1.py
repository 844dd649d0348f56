"""IQ1_S and IQ1_M: super-blocks of 256 weights, 32 points of a grid of ternary codes.

weight = d * (2 * scale + 1) * (q + delta), with q of -1, 0 or 1, eight of which are a point, with a
number of 11 bits. The scale has 3 bits, and delta is +1/8 or -1/8.

IQ1_S, 50 bytes: d; 32 low bytes of the points; for each sub-block of 32 weights 16 bits, which are
the 3 high bits of its 4 points, the scale, and in the highest bit whether delta is negative.

IQ1_M, 56 bytes: 32 low bytes of the points; for each sub-block of 16 weights a byte, which is for
either point the 3 high bits and whether delta is negative; four times 16 bits, which are the scales
of four sub-blocks, and in the highest 4 bits a quarter of d, the lowest first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from app.encodings.kernels import lanes
from app.encodings.kernels.half import faults_of, get_half, half_value, put_half
from app.encodings.kernels.inner import INNER
from app.encodings.kernels.iq1_cells import GROUP, Cells
from app.encodings.kernels.iq1_scales import BEST_CODE, CHOSEN, SIZE, SUPER, Shape, fitted_step
from app.encodings.kernels.iq1_search import search
from app.encodings.kernels.lanes import LANES

if TYPE_CHECKING:
    from numpy.typing import NDArray

S_BYTES, M_BYTES = 50, 56
S_SUB, M_SUB = 32, 16
"""Weights a sub-block."""


@njit(**INNER)
def pack_s(
    state: NDArray[np.float32],
    first: int,
    half: np.int64,
    points: NDArray[np.uint16],
    out: NDArray[np.uint8],
) -> None:
    """Write the IQ1_S block whose sub-blocks are the lanes from `first` on."""
    put_half(half, out, 0)
    for j in range(8):
        high = np.int64(state[BEST_CODE + first + j]) << 12
        for group in range(4):
            cell = np.int64(state[CHOSEN + group * LANES + first + j])
            point = np.int64(points[cell & 0xFFFF])
            out[2 + 4 * j + group] = point & 255
            high |= (point >> 8) << (3 * group) | (cell >> 16) << 15
        put_half(high, out, 34 + 2 * j)


@njit(**INNER)
def pack_m(
    state: NDArray[np.float32],
    first: int,
    half: np.int64,
    points: NDArray[np.uint16],
    out: NDArray[np.uint8],
) -> None:
    """Write the IQ1_M block whose sub-blocks are the lanes from `first` on."""
    for j in range(16):
        high = np.int64(0)
        for group in range(2):
            cell = np.int64(state[CHOSEN + group * LANES + first + j])
            point = np.int64(points[cell & 0xFFFF])
            out[2 * j + group] = point & 255
            high |= (point >> 8 | (cell >> 16) << 3) << (4 * group)
        out[32 + j] = high
    for j in range(4):
        scales = (half >> (4 * j) & 15) << 12
        for i in range(4):
            scales |= np.int64(state[BEST_CODE + first + 4 * j + i]) << (3 * i)
        put_half(scales, out, 48 + 2 * j)


@njit(nogil=True, cache=True, error_model="numpy")
def encode(
    weights: NDArray[np.float32],
    columns: NDArray[np.float32],
    sub: int,
    cells: Cells,
    out: NDArray[np.uint8],
) -> int:
    """Encode whole super-blocks, with a `sub` of 32 as IQ1_S, of 16 as IQ1_M; returns fault flags.

    `columns` are the importances of whole super-blocks, or none.
    """
    block_bytes = S_BYTES if sub == S_SUB else M_BYTES
    shape = Shape(sub, S_SUB if sub == S_SUB else GROUP)
    data, state = np.zeros(2 * sub * LANES, np.float32), np.zeros(SIZE, np.float32)
    if columns.size == 0:
        columns = np.ones(LANES * sub, np.float32)
    faults = 0
    for start in range(0, weights.size, LANES * sub):
        some = weights[start : start + LANES * sub]
        largest = lanes.transpose(some, sub, data)
        lanes.transpose_importance(columns, start, sub, data)
        search(data, state, cells, shape, some.size // sub)
        for block in range(some.size // SUPER):
            first = block * (SUPER // sub)
            half = fitted_step(state, first, first + SUPER // sub)
            faults |= faults_of(largest, half)
            at = (start // SUPER + block) * block_bytes
            sink = out[at : at + block_bytes]
            if sub == S_SUB:
                pack_s(state, first, half, cells.points, sink)
            else:
                pack_m(state, first, half, cells.points, sink)
    return faults


@njit(nogil=True, cache=True)
def decode_s(
    blocks: NDArray[np.uint8], levels: NDArray[np.float32], out: NDArray[np.float32]
) -> None:
    """Read IQ1_S blocks; `levels` are the coordinates of all points, flat."""
    for block in range(blocks.size // S_BYTES):
        source = blocks[block * S_BYTES : (block + 1) * S_BYTES]
        d = get_half(source, 0)
        for j in range(8):
            high = np.int64(source[34 + 2 * j]) | np.int64(source[35 + 2 * j]) << 8
            scale = d * np.float32(2 * (high >> 12 & 7) + 1)
            delta = np.float32(-0.125 if high >> 15 else 0.125)
            for group in range(4):
                at = 4 * j + group
                point = np.int64(source[2 + at]) | (high >> (3 * group) & 7) << 8
                put_point(levels, point, scale, delta, out[block * SUPER + at * GROUP :])


@njit(nogil=True, cache=True)
def decode_m(
    blocks: NDArray[np.uint8], levels: NDArray[np.float32], out: NDArray[np.float32]
) -> None:
    """Read IQ1_M blocks; `levels` are the coordinates of all points, flat."""
    for block in range(blocks.size // M_BYTES):
        source = blocks[block * M_BYTES : (block + 1) * M_BYTES]
        half = np.int64(0)
        for j in range(4):
            half |= np.int64(source[49 + 2 * j] >> 4) << (4 * j)
        d = half_value(half)
        for j in range(16):
            at = 48 + j // 4 * 2
            scales = np.int64(source[at]) | np.int64(source[at + 1]) << 8
            scale = d * np.float32(2 * (scales >> (3 * (j % 4)) & 7) + 1)
            for group in range(2):
                high = np.int64(source[32 + j]) >> (4 * group) & 15
                delta = np.float32(-0.125 if high >> 3 else 0.125)
                at = 2 * j + group
                point = np.int64(source[at]) | (high & 7) << 8
                put_point(levels, point, scale, delta, out[block * SUPER + at * GROUP :])


@njit(nogil=True, inline="always")
def put_point(
    levels: NDArray[np.float32],
    point: np.int64,
    scale: np.float32,
    delta: np.float32,
    out: NDArray[np.float32],
) -> None:
    """Write eight weights."""
    for i in range(GROUP):
        out[i] = scale * (levels[point * GROUP + i] + delta)
