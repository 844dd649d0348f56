"""Q2_K: super-blocks of 16 sub-blocks of 16 weights, each with a scale and a minimum of 4 bits.

weight = d * scale * q - dmin * minimum, with q of 2 bits, and two float16 a super-block. The bytes:
16 of a scale and, in the high half, a minimum; 64 of codes, four each; d, dmin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from app.encodings.kernels.affine_search import (
    BEST_CODE,
    BEST_MIN,
    ROWS,
    choose_codes,
    fit,
    write_codes,
)
from app.encodings.kernels.half import faults_of, get_half, put_half
from app.encodings.kernels.inner import INNER
from app.encodings.kernels.lanes import LANES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from app.encodings.kernels.numbers import AffineGrid

SUB = 16
"""Weights a sub-block."""
SUPER = 256
"""Weights a super-block."""
BLOCKS = LANES * SUB // SUPER
"""Super-blocks that are searched at once."""
BLOCK_BYTES = 84


@njit(**INNER)
def pack_codes(codes: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
    """Each half of 128: the quarters' codes in one byte, from the low bits up."""
    for half in range(2):
        part = codes[half * 128 : (half + 1) * 128]
        sink = out[half * 32 : (half + 1) * 32]
        for i in range(32):
            sink[i] = (
                part[i]
                | (part[32 + i] << np.uint8(2))
                | (part[64 + i] << np.uint8(4))
                | (part[96 + i] << np.uint8(6))
            )


@njit(nogil=True, cache=True, error_model="numpy")
def encode(
    weights: NDArray[np.float32],
    columns: NDArray[np.float32],
    grid: AffineGrid,
    out: NDArray[np.uint8],
) -> int:
    """Encode whole super-blocks. Returns fault flags, 0 if all is well."""
    data = np.empty(2 * SUB * LANES, np.float32)
    state = np.zeros(ROWS, np.float32)
    halves = np.zeros(2 * BLOCKS, np.int64)
    codes = np.empty(SUPER, np.uint8)
    faults = 0
    for start in range(0, weights.size, BLOCKS * SUPER):
        group = weights[start : start + BLOCKS * SUPER]
        largest = fit(group, columns, start, grid, data, state)
        choose_codes(grid, data, state, halves)
        for block in range(group.size // SUPER):
            at = (start // SUPER + block) * BLOCK_BYTES
            sink = out[at : at + BLOCK_BYTES]
            for j in range(16):
                k = block * 16 + j
                scale, minimum = np.int32(state[BEST_CODE + k]), np.int32(state[BEST_MIN + k])
                sink[j] = np.uint8(scale | minimum << np.int32(4))
            write_codes(group[block * SUPER : (block + 1) * SUPER], state, block, grid, codes)
            pack_codes(codes, sink[16:80])
            for i in range(2):
                faults |= faults_of(largest, halves[2 * block + i])
                put_half(halves[2 * block + i], sink, 80 + 2 * i)
    return faults


@njit(nogil=True, cache=True)
def decode(blocks: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
    """Inverse of `encode`."""
    for block in range(blocks.size // BLOCK_BYTES):
        source = blocks[block * BLOCK_BYTES : (block + 1) * BLOCK_BYTES]
        d, dmin = get_half(source, 80), get_half(source, 82)
        for j in range(16):
            scale = d * np.float32(source[j] & np.uint8(15))
            minimum = dmin * np.float32(source[j] >> np.uint8(4))
            at = 16 + j // 8 * 32 + j % 2 * SUB
            packed = source[at : at + SUB]
            shift = np.uint8(j // 2 % 4 * 2)
            sink = out[block * SUPER + j * SUB : block * SUPER + (j + 1) * SUB]
            for i in range(SUB):
                q = np.uint8((packed[i] >> shift) & np.uint8(3))
                sink[i] = scale * np.float32(q) - minimum
