"""Q3_K: super-blocks of 16 sub-blocks of 16 weights, each with a signed scale of 6 bits.

weight = d * (scale - 32) * (q - 4), with q of 3 bits and one float16 a super-block. The bytes: 32
of high bits, 64 of low pairs, 12 of scales, d.
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
BLOCK_BYTES = 110


@njit(**INNER)
def pack_codes(codes: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
    """High bits: bit j of a byte is of the j-th 32. Then pairs: of 4 quarters of 128 in one."""
    two = np.uint8(2)
    for i in range(32):
        out[i] = (
            (codes[i] >> two)
            | ((codes[32 + i] >> two) << np.uint8(1))
            | ((codes[64 + i] >> two) << two)
            | ((codes[96 + i] >> two) << np.uint8(3))
            | ((codes[128 + i] >> two) << np.uint8(4))
            | ((codes[160 + i] >> two) << np.uint8(5))
            | ((codes[192 + i] >> two) << np.uint8(6))
            | ((codes[224 + i] >> two) << np.uint8(7))
        )
    three = np.uint8(3)
    for half in range(2):
        part = codes[half * 128 : (half + 1) * 128]
        sink = out[32 + half * 32 : 64 + half * 32]
        for i in range(32):
            sink[i] = (
                (part[i] & three)
                | ((part[32 + i] & three) << np.uint8(2))
                | ((part[64 + i] & three) << np.uint8(4))
                | ((part[96 + i] & three) << np.uint8(6))
            )


@njit(**INNER)
def pack_scales(state: NDArray[np.float32], block: int, out: NDArray[np.uint8]) -> None:
    """16 times 6 bits: 8 bytes of nibbles, two each; then in 4 bytes the high pairs, four each."""
    for i in range(4):
        out[8 + i] = 0
    for j in range(8):
        low = np.int32(state[BEST_CODE + block * 16 + j]) + 32
        high = np.int32(state[BEST_CODE + block * 16 + j + 8]) + 32
        out[j] = np.uint8((low & 15) | (high & 15) << 4)
        pairs = (low >> 4) << (j // 4 * 2) | (high >> 4) << (j // 4 * 2 + 4)
        out[8 + j % 4] |= np.uint8(pairs)


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
            pack_scales(state, block, sink[96:108])
            put_half(halves[block], sink, 108)
    return faults


@njit(nogil=True, cache=True)
def decode(blocks: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
    """Inverse of `encode`."""
    three, four = np.uint8(3), np.float32(4)
    for block in range(blocks.size // BLOCK_BYTES):
        source = blocks[block * BLOCK_BYTES : (block + 1) * BLOCK_BYTES]
        d = get_half(source, 108)
        for j in range(16):
            nibble = (source[96 + j % 8] >> np.uint8(j // 8 * 4)) & np.uint8(15)
            pair = (source[104 + j % 4] >> np.uint8(j // 4 * 2)) & three
            scale = d * np.float32(np.int32(nibble) + np.int32(pair) * 16 - 32)
            at = 32 + j // 8 * 32 + j % 2 * SUB
            pairs = source[at : at + SUB]
            highs = source[j % 2 * SUB : j % 2 * SUB + SUB]
            shift, bit = np.uint8(j // 2 % 4 * 2), np.uint8(j // 2)
            sink = out[block * SUPER + j * SUB : block * SUPER + (j + 1) * SUB]
            for i in range(SUB):
                high = (highs[i] >> bit) & np.uint8(1)
                q = np.uint8(((pairs[i] >> shift) & three) | high << np.uint8(2))
                sink[i] = scale * (np.float32(q) - four)
