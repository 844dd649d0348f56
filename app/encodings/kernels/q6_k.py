"""Q6_K: super-blocks of 16 sub-blocks of 16 weights, each with a signed scale of 8 bits.

weight = d * scale * (q - 32), with q of 6 bits and one float16 a super-block. The bytes: 128 bytes
of low nibbles, 64 bytes of high bits, 16 scales, d.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from app.encodings.kernels.half import faults_of, get_half, put_half
from app.encodings.kernels.inner import INNER
from app.encodings.kernels.lanes import LANES
from app.encodings.kernels.signed_search import (
    BEST_CODE,
    ROWS,
    choose_codes,
    fit,
    write_codes,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from app.encodings.kernels.numbers import SignedGrid

SUB = 16
"""Weights a sub-block."""
SUPER = 256
"""Weights a super-block."""
BLOCKS = LANES * SUB // SUPER
"""Super-blocks that are searched at once."""
BLOCK_BYTES = 210


@njit(**INNER)
def pack_codes(codes: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
    """Each half of 128: nibbles of quarters 0 and 2, 1 and 3; high bits of the four in one byte."""
    four, fifteen = np.uint8(4), np.uint8(15)
    for half in range(2):
        part = codes[half * 128 : (half + 1) * 128]
        low = out[half * 64 : (half + 1) * 64]
        for i in range(64):
            low[i] = (part[i] & fifteen) | (part[64 + i] << four)
        high = out[128 + half * 32 : 128 + (half + 1) * 32]
        for i in range(32):
            high[i] = (
                (part[i] >> four)
                | ((part[32 + i] >> four) << np.uint8(2))
                | ((part[64 + i] >> four) << four)
                | ((part[96 + i] >> four) << np.uint8(6))
            )


@njit(nogil=True, cache=True, error_model="numpy")
def encode(
    weights: NDArray[np.float32],
    columns: NDArray[np.float32],
    grid: SignedGrid,
    out: NDArray[np.uint8],
) -> int:
    """Encode whole super-blocks. Returns fault flags, 0 if all is well."""
    data = np.empty(2 * SUB * LANES, np.float32)
    state = np.zeros(ROWS, np.float32)
    halves = np.zeros(BLOCKS, np.int64)
    codes = np.empty(SUPER, np.uint8)
    faults = 0
    for start in range(0, weights.size, BLOCKS * SUPER):
        group = weights[start : start + BLOCKS * SUPER]
        largest = fit(group, columns, start, grid, data, state)
        choose_codes(grid, data, state, halves)
        for block in range(group.size // SUPER):
            faults |= faults_of(largest, halves[block])
            at = (start // SUPER + block) * BLOCK_BYTES
            sink = out[at : at + BLOCK_BYTES]
            write_codes(group[block * SUPER : (block + 1) * SUPER], state, block, grid, codes)
            pack_codes(codes, sink)
            for j in range(16):
                sink[192 + j] = np.uint8(np.int32(state[BEST_CODE + block * 16 + j]))
            put_half(halves[block], sink, 208)
    return faults


@njit(nogil=True, cache=True)
def decode(blocks: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
    """Inverse of `encode`."""
    three, fifteen = np.uint8(3), np.uint8(15)
    for block in range(blocks.size // BLOCK_BYTES):
        source = blocks[block * BLOCK_BYTES : (block + 1) * BLOCK_BYTES]
        d = get_half(source, 208)
        for j in range(16):
            scale = d * np.float32(np.int8(source[192 + j]))
            half, quarter, odd = j // 8, j // 2 % 4, j % 2
            at = half * 64 + quarter % 2 * 32 + odd * SUB
            nibbles = source[at : at + SUB]
            at = 128 + half * 32 + odd * SUB
            highs = source[at : at + SUB]
            shift, pair = np.uint8(quarter // 2 * 4), np.uint8(quarter * 2)
            sink = out[block * SUPER + j * SUB : block * SUPER + (j + 1) * SUB]
            for i in range(SUB):
                q = ((nibbles[i] >> shift) & fifteen) | (
                    ((highs[i] >> pair) & three) << np.uint8(4)
                )
                sink[i] = scale * (np.float32(np.uint8(q)) - np.float32(32))
