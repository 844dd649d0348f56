"""Q6_K: super-blocks of 16 sub-blocks of 16 weights, each with a signed scale of 8 bits.

weight = d * scale * (q - 32), with q of 6 bits and one float16 a super-block. The bytes: 128 bytes
of low nibbles, 64 bytes of high bits, 16 scales, d.

The search has two steps. First every sub-block gets the real-valued scale that fits it best: its
extreme is put on slightly different codes near -32, each grid refitted by least squares. Then d is
set by the largest scale, which becomes -128, and each sub-block tries the 8-bit scales around its
own, on the grid as it will be stored.

Importance of a weight x: 1/2 + x**2 / mean square of its sub-block, between plain error and the
squares that ggml's search uses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from app.encodings.kernels import lanes, numbers
from app.encodings.kernels.half import faults_of, get_half, half_value, put_half, step_bits
from app.encodings.kernels.lanes import (
    ERROR,
    INVERSE,
    LANES,
    MARGIN,
    RELAXED,
    SCALE,
    SHIFT,
    SUM_QQ,
    SUM_QV,
    SUM_VV,
    TINY,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUB = 16
"""Weights a sub-block."""
SUPER = 256
"""Weights a super-block."""
BLOCKS = LANES * SUB // SUPER
"""Super-blocks that are searched at once."""
BLOCK_BYTES = 210

EXTREME, STEP, CODE, BEST_CODE = (lanes.SHARED + i * LANES for i in range(4))
ROWS = lanes.SHARED + 4 * LANES

F0, F1, F2 = np.float32(0), np.float32(1), np.float32(2)
LOWEST, HIGHEST = np.float32(-32), np.float32(31)
"""The codes' range, less 32."""
BYTE_LOWEST, BYTE_HIGHEST = np.float32(-128), np.float32(127)
SHARE = np.float32(numbers.SIGNED_SHARE)


@njit(nogil=True, fastmath=RELAXED, error_model="numpy")
def prepare(data: NDArray[np.float32], state: NDArray[np.float32]) -> None:
    """Find each sub-block's extreme, set the importances and the sum that does not change."""
    for k in range(LANES):
        state[EXTREME + k] = state[SUM_VV + k] = state[SHIFT + k] = F0
    for i in range(SUB):
        row = data[i * LANES : (i + 1) * LANES]
        for k in range(LANES):
            larger = abs(row[k]) > abs(state[EXTREME + k])
            state[EXTREME + k] = row[k] if larger else state[EXTREME + k]
            state[SUM_VV + k] += row[k] * row[k]
    for k in range(LANES):
        rms = np.sqrt(state[SUM_VV + k] / np.float32(SUB))
        state[INVERSE + k] = F1 / rms if rms > TINY else F0
        state[SCALE + k] = state[EXTREME + k] / LOWEST
        state[ERROR + k] = np.inf
        state[SUM_VV + k] = F0
    for i in range(SUB):
        row = data[i * LANES : (i + 1) * LANES]
        importances = data[(SUB + i) * LANES : (SUB + i + 1) * LANES]
        for k in range(LANES):
            size = row[k] * state[INVERSE + k]
            w = SHARE + size * size
            importances[k] = w
            state[SUM_VV + k] += w * row[k] * row[k]


@njit(nogil=True, fastmath=RELAXED, error_model="numpy")
def try_stretch(data: NDArray[np.float32], state: NDArray[np.float32], stretch: np.float32) -> None:
    """Fit a grid on which the extreme is -32 - stretch; keep it where it is the best."""
    for k in range(LANES):
        extreme = state[EXTREME + k]
        state[INVERSE + k] = (LOWEST - stretch) / extreme if abs(extreme) > TINY else F0
    lanes.tally(data, state, SUB, LOWEST, HIGHEST)
    for k in range(LANES):
        qq, qv = state[SUM_QQ + k], state[SUM_QV + k]
        scale = qv / qq if qq > F0 else F0
        error = state[SUM_VV + k] - scale * qv
        better = error < state[ERROR + k] - MARGIN * state[SUM_VV + k]
        state[ERROR + k] = error if better else state[ERROR + k]
        state[SCALE + k] = scale if better else state[SCALE + k]


@njit(nogil=True, error_model="numpy")
def set_step(state: NDArray[np.float32], block: int, halves: NDArray[np.int64]) -> None:
    """Fix d of one of the super-blocks by its largest scale."""
    first, last = block * 16, block * 16 + 16
    largest = F0
    for k in range(first, last):
        if abs(state[SCALE + k]) > abs(largest):
            largest = state[SCALE + k]
    halves[block] = step_bits(largest, BYTE_LOWEST)
    d = half_value(halves[block])
    for k in range(first, last):
        state[STEP + k] = d
        nearest = np.rint(state[SCALE + k] / d) if d != F0 else F0
        state[CODE + k] = min(max(nearest, BYTE_LOWEST), BYTE_HIGHEST)
        state[BEST_CODE + k] = state[CODE + k]
        state[ERROR + k] = np.inf


@njit(nogil=True, fastmath=RELAXED, error_model="numpy")
def try_code(data: NDArray[np.float32], state: NDArray[np.float32], change: np.float32) -> None:
    """Try the 8-bit scale that is `change` away from the nearest; keep it where it is the best."""
    for k in range(LANES):
        code = min(max(state[CODE + k] + change, BYTE_LOWEST), BYTE_HIGHEST)
        scale = state[STEP + k] * code
        state[INVERSE + k] = F1 / scale if scale != F0 else F0
    lanes.tally(data, state, SUB, LOWEST, HIGHEST)
    for k in range(LANES):
        code = min(max(state[CODE + k] + change, BYTE_LOWEST), BYTE_HIGHEST)
        scale = state[STEP + k] * code
        error = scale * (scale * state[SUM_QQ + k] - F2 * state[SUM_QV + k]) + state[SUM_VV + k]
        better = error < state[ERROR + k] - MARGIN * state[SUM_VV + k]
        state[ERROR + k] = error if better else state[ERROR + k]
        state[BEST_CODE + k] = code if better else state[BEST_CODE + k]


@njit(nogil=True, fastmath=RELAXED, error_model="numpy")
def write_codes(
    weights: NDArray[np.float32], state: NDArray[np.float32], block: int, codes: NDArray[np.uint8]
) -> None:
    """Round the weights of one super-block on their final grids."""
    for j in range(16):
        k = block * 16 + j
        scale = state[STEP + k] * state[BEST_CODE + k]
        inverse = F1 / scale if scale != F0 else F0
        part = weights[j * SUB : (j + 1) * SUB]
        sink = codes[j * SUB : (j + 1) * SUB]
        for i in range(SUB):
            q = min(max(np.rint(part[i] * inverse), LOWEST), HIGHEST)
            sink[i] = np.uint8(np.int32(q - LOWEST))


@njit(nogil=True)
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
def encode(weights: NDArray[np.float32], out: NDArray[np.uint8]) -> int:
    """Encode whole super-blocks. Returns fault flags, 0 if all is well."""
    data = np.empty(2 * SUB * LANES, np.float32)
    state = np.zeros(ROWS, np.float32)
    halves = np.zeros(BLOCKS, np.int64)
    codes = np.empty(SUPER, np.uint8)
    faults = 0
    for start in range(0, weights.size, BLOCKS * SUPER):
        group = weights[start : start + BLOCKS * SUPER]
        largest = lanes.transpose(group, SUB, data)
        prepare(data, state)
        for tenths in numbers.TENTHS_SIGNED:
            try_stretch(data, state, np.float32(tenths) * np.float32(0.1))
        for block in range(BLOCKS):
            set_step(state, block, halves)
        for change in numbers.CHANGES:
            try_code(data, state, np.float32(change))
        for block in range(group.size // SUPER):
            faults |= faults_of(largest, halves[block])
            at = (start // SUPER + block) * BLOCK_BYTES
            sink = out[at : at + BLOCK_BYTES]
            write_codes(group[block * SUPER : (block + 1) * SUPER], state, block, codes)
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
                sink[i] = scale * (np.float32(np.uint8(q)) + LOWEST)
