"""Q4_K and Q5_K: super-blocks of 8 sub-blocks of 32 weights, each with a scale and a minimum.

weight = d * scale * q - dmin * minimum, with q of 4 or 5 bits, scale and minimum of 6 bits, and two
float16 a super-block. The bytes: d, dmin, 12 bytes of scales and minima, for 5 bits 32 bytes of
high bits, 128 bytes of nibbles.
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

SUB = 32
"""Weights a sub-block."""
SUPER = 256
"""Weights a super-block."""
BLOCKS = LANES * SUB // SUPER
"""Super-blocks that are searched at once."""


@njit(**INNER)
def pack_scales(state: NDArray[np.float32], block: int, out: NDArray[np.uint8]) -> None:
    """8 scales and 8 minima in 12 bytes: the last four of each put their top bits on the first."""
    for j in range(4):
        low, high = block * 8 + j, block * 8 + j + 4
        s, m = np.int64(state[BEST_CODE + low]), np.int64(state[BEST_MIN + low])
        s4, m4 = np.int64(state[BEST_CODE + high]), np.int64(state[BEST_MIN + high])
        out[j] = np.uint8(s | (s4 >> 4) << 6)
        out[4 + j] = np.uint8(m | (m4 >> 4) << 6)
        out[8 + j] = np.uint8((s4 & 15) | (m4 & 15) << 4)


@njit(**INNER)
def pack_codes(codes: NDArray[np.uint8], bits: int, out: NDArray[np.uint8]) -> None:
    """With 5 bits, the highest: bit j of a byte is of sub-block j. Then nibbles, of two each."""
    if bits == 5:
        four = np.uint8(4)
        for i in range(SUB):
            out[i] = (
                (codes[i] >> four)
                | ((codes[32 + i] >> four) << np.uint8(1))
                | ((codes[64 + i] >> four) << np.uint8(2))
                | ((codes[96 + i] >> four) << np.uint8(3))
                | ((codes[128 + i] >> four) << four)
                | ((codes[160 + i] >> four) << np.uint8(5))
                | ((codes[192 + i] >> four) << np.uint8(6))
                | ((codes[224 + i] >> four) << np.uint8(7))
            )
        out = out[SUB:]
    for j in range(4):
        low = codes[2 * j * SUB : (2 * j + 1) * SUB]
        high = codes[(2 * j + 1) * SUB : (2 * j + 2) * SUB]
        sink = out[j * SUB : (j + 1) * SUB]
        for i in range(SUB):
            sink[i] = (low[i] & np.uint8(15)) | (high[i] << np.uint8(4))


@njit(nogil=True, cache=True, error_model="numpy")
def encode(
    weights: NDArray[np.float32],
    columns: NDArray[np.float32],
    bits: int,
    grid: AffineGrid,
    out: NDArray[np.uint8],
) -> int:
    """Encode whole super-blocks; `bits` is 4 or 5. Returns fault flags, 0 if all is well."""
    block_bytes = 144 if bits == 4 else 176
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
            at = (start // SUPER + block) * block_bytes
            sink = out[at : at + block_bytes]
            for i in range(2):
                faults |= faults_of(largest, halves[2 * block + i])
                put_half(halves[2 * block + i], sink, 2 * i)
            pack_scales(state, block, sink[4:16])
            write_codes(group[block * SUPER : (block + 1) * SUPER], state, block, grid, codes)
            pack_codes(codes, bits, sink[16:])
    return faults


@njit(nogil=True, cache=True)
def decode(blocks: NDArray[np.uint8], bits: int, out: NDArray[np.float32]) -> None:
    """Inverse of `encode`."""
    block_bytes = 144 if bits == 4 else 176
    for block in range(blocks.size // block_bytes):
        source = blocks[block * block_bytes : (block + 1) * block_bytes]
        d, dmin = get_half(source, 0), get_half(source, 2)
        packed = source[4:16]
        for j in range(8):
            if j < 4:
                s, m = packed[j] & 63, packed[4 + j] & 63
            else:
                s = (packed[4 + j] & 15) | (packed[j - 4] >> 6) << 4
                m = (packed[4 + j] >> 4) | (packed[j] >> 6) << 4
            scale, minimum = d * np.float32(s), dmin * np.float32(m)
            at = block_bytes - 128 + j // 2 * SUB
            nibbles = source[at : at + SUB]
            highs = source[16 : 16 + SUB]
            shift, fifth = np.uint8(j % 2 * 4), np.uint8(j)
            mask = np.uint8(16 if bits == 5 else 0)
            sink = out[block * SUPER + j * SUB : block * SUPER + (j + 1) * SUB]
            for i in range(SUB):
                high = (highs[i] >> fifth) << np.uint8(4)
                q = ((nibbles[i] >> shift) & np.uint8(15)) | (high & mask)
                sink[i] = scale * np.float32(np.uint8(q)) - minimum
