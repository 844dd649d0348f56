"""IQ4_NL and IQ4_XS: 4-bit codes of a codebook of 16 uneven values.

IQ4_NL: blocks of 32 weights, weight = d * value. The bytes: d as float16, 16 bytes of nibbles.
IQ4_XS: super-blocks of 8 such sub-blocks, weight = d * (scale - 32) * value, with scales of 6 bits.
The bytes: d, 2 bytes of the scales' high bits, 4 bytes of their low nibbles, 128 bytes of nibbles.

The search puts each sub-block's extreme on several values at either end of the codebook, and
refits the scale of each by least squares. For IQ4_XS, the largest scale then becomes -32, and each
sub-block tries the 6-bit scales around its own.

While searching, the nearest value comes from two polynomials; the codes that are written are
rounded exactly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from app.encodings.kernels import codebooks, lanes
from app.encodings.kernels.half import (
    faults_of,
    get_half,
    half_bits,
    half_value,
    put_half,
    step_bits,
)
from app.encodings.kernels.inner import INNER
from app.encodings.kernels.lanes import (
    ERROR,
    INVERSE,
    LANES,
    MARGIN,
    RELAXED,
    SCALE,
    SUM_QQ,
    SUM_QV,
    SUM_VV,
    TINY,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUB = 32
"""Weights a sub-block."""

EXTREME, STEP, CODE, BEST_CODE = (lanes.SHARED + i * LANES for i in range(4))
ROWS = lanes.SHARED + 4 * LANES

F0, F1, F2 = np.float32(0), np.float32(1), np.float32(2)
UNIT = np.float32(codebooks.IQ4_UNIT)
BOTTOM, TOP = np.float32(codebooks.IQ4[0]) / UNIT, np.float32(codebooks.IQ4[-1]) / UNIT
C0, C1, C2, C3, C4, C5 = (np.float32(c) for c in codebooks.IQ4_CODE)
V0, V1, V2, V3, V4 = (np.float32(c) for c in codebooks.IQ4_VALUE)
MIDDLES = tuple(np.float32(middle) for middle in codebooks.IQ4_MIDDLES)
VALUES = np.array(codebooks.IQ4, np.float32)
SHARE = np.float32(codebooks.IQ4_SHARE)
LOWEST, HIGHEST = np.float32(-32), np.float32(31)
"""The stored scales' range, less 32."""


@njit(**INNER, fastmath=RELAXED, error_model="numpy")
def prepare(data: NDArray[np.float32], state: NDArray[np.float32]) -> None:
    """Find each sub-block's extreme, finish the importances and sum what does not change."""
    for k in range(LANES):
        state[EXTREME + k] = state[SUM_VV + k] = F0
    for i in range(SUB):
        row = data[i * LANES : (i + 1) * LANES]
        for k in range(LANES):
            larger = abs(row[k]) > abs(state[EXTREME + k])
            state[EXTREME + k] = row[k] if larger else state[EXTREME + k]
            state[SUM_VV + k] += row[k] * row[k]
    for k in range(LANES):
        rms = np.sqrt(state[SUM_VV + k] / np.float32(SUB))
        state[INVERSE + k] = F1 / rms if rms > TINY else F0
        state[SCALE + k] = state[EXTREME + k] / (BOTTOM * UNIT)
        state[ERROR + k] = np.inf
        state[SUM_VV + k] = F0
    for i in range(SUB):
        row = data[i * LANES : (i + 1) * LANES]
        importances = data[(SUB + i) * LANES : (SUB + i + 1) * LANES]
        for k in range(LANES):
            size = row[k] * state[INVERSE + k]
            w = importances[k] * (SHARE + size * size)
            importances[k] = w
            state[SUM_VV + k] += w * row[k] * row[k]


@njit(**INNER, fastmath=RELAXED)
def tally(data: NDArray[np.float32], state: NDArray[np.float32]) -> None:
    """Round every value v to the codebook's q near v * INVERSE * UNIT; sum w q q and w q v."""
    for k in range(LANES):
        state[SUM_QQ + k] = state[SUM_QV + k] = F0
    for first in range(0, SUB, 8):
        values = data[first * LANES : (first + 8) * LANES]
        importances = data[(SUB + first) * LANES : (SUB + first + 8) * LANES]
        for k in range(LANES):
            inverse, qq, qv = state[INVERSE + k], state[SUM_QQ + k], state[SUM_QV + k]
            for i in range(8):  # unrolled: the sums stay in registers
                v = values[i * LANES + k]
                t = min(max(v * inverse, BOTTOM), TOP)
                c = np.rint(((((C5 * t + C4) * t + C3) * t + C2) * t + C1) * t + C0)
                q = np.rint((((V4 * c + V3) * c + V2) * c + V1) * c + V0)
                wq = importances[i * LANES + k] * q
                qq += wq * q
                qv += wq * v
            state[SUM_QQ + k] = qq
            state[SUM_QV + k] = qv


@njit(**INNER, fastmath=RELAXED, error_model="numpy")
def try_stretch(data: NDArray[np.float32], state: NDArray[np.float32], value: np.float32) -> None:
    """Fit a scale that puts the extremes near `value`; keep it where it is the best."""
    for k in range(LANES):
        extreme = state[EXTREME + k]
        state[INVERSE + k] = value / UNIT / extreme if abs(extreme) > TINY else F0
    tally(data, state)
    for k in range(LANES):
        scale = state[SUM_QV + k] / state[SUM_QQ + k]  # no value is 0
        error = state[SUM_VV + k] - scale * state[SUM_QV + k]
        better = error < state[ERROR + k] - MARGIN * state[SUM_VV + k]
        state[ERROR + k] = error if better else state[ERROR + k]
        state[SCALE + k] = scale if better else state[SCALE + k]


@njit(**INNER, error_model="numpy")
def set_step(state: NDArray[np.float32], first: int, subs: int) -> np.int64:
    """Fix the d of `subs` sub-blocks, and of several the scales nearest; returns d's bits."""
    if subs == 1:
        half: np.int64 = half_bits(state[SCALE + first])
        state[STEP + first] = half_value(half)
        state[BEST_CODE + first] = F1
        return half
    largest = F0
    for k in range(first, first + subs):
        if abs(state[SCALE + k]) > abs(largest):
            largest = state[SCALE + k]
    half = step_bits(largest, LOWEST)
    d = half_value(half)
    for k in range(first, first + subs):
        state[STEP + k] = d
        nearest = np.rint(state[SCALE + k] / d) if d != F0 else F0
        state[CODE + k] = min(max(nearest, LOWEST), HIGHEST)
        state[BEST_CODE + k] = state[CODE + k]
        state[ERROR + k] = np.inf
    return half


@njit(**INNER, fastmath=RELAXED, error_model="numpy")
def try_code(data: NDArray[np.float32], state: NDArray[np.float32], change: np.float32) -> None:
    """Try the 6-bit scale that is `change` away from the nearest; keep it where it is the best."""
    for k in range(LANES):
        code = min(max(state[CODE + k] + change, LOWEST), HIGHEST)
        scale = state[STEP + k] * code
        state[INVERSE + k] = F1 / UNIT / scale if scale != F0 else F0
    tally(data, state)
    for k in range(LANES):
        code = min(max(state[CODE + k] + change, LOWEST), HIGHEST)
        scale = state[STEP + k] * code
        error = scale * (scale * state[SUM_QQ + k] - F2 * state[SUM_QV + k]) + state[SUM_VV + k]
        better = error < state[ERROR + k] - MARGIN * state[SUM_VV + k]
        state[ERROR + k] = error if better else state[ERROR + k]
        state[BEST_CODE + k] = code if better else state[BEST_CODE + k]


@njit(**INNER, error_model="numpy", fastmath=RELAXED)
def write_codes(
    weights: NDArray[np.float32],
    scale: np.float32,
    codes: NDArray[np.uint8],
    out: NDArray[np.uint8],
) -> None:
    """Round 32 weights to the nearest values, as 16 bytes: weight i with weight i + 16."""
    inverse = F1 / scale if scale != F0 else F0
    for i in range(SUB):
        t = weights[i] * inverse
        code = np.int32(0)
        for middle in MIDDLES:
            code += np.int32(t >= middle)
        codes[i] = np.uint8(code)
    for i in range(SUB // 2):
        out[i] = codes[i] | codes[SUB // 2 + i] << np.uint8(4)


@njit(**INNER)
def pack_scales(state: NDArray[np.float32], first: int, out: NDArray[np.uint8]) -> None:
    """Eight scales: 16 bits of two high bits each, then 4 bytes of two low nibbles each."""
    highs = np.int64(0)
    for j in range(0, 8, 2):
        code = np.int64(state[BEST_CODE + first + j]) + 32
        next_code = np.int64(state[BEST_CODE + first + j + 1]) + 32
        highs |= (code >> 4 | next_code >> 4 << 2) << 2 * j
        out[2 + j // 2] = (code & 15) | (next_code & 15) << 4
    out[0], out[1] = highs & 255, highs >> 8


@njit(**INNER, error_model="numpy")
def search(
    data: NDArray[np.float32], state: NDArray[np.float32], subs: int, halves: NDArray[np.int64]
) -> None:
    """Find d and the stored scales of the blocks whose sub-blocks are in the lanes."""
    prepare(data, state)
    for value in codebooks.IQ4_STRETCHES:
        try_stretch(data, state, np.float32(value))
    for block in range(LANES // subs):
        halves[block] = set_step(state, block * subs, subs)
    if subs > 1:
        for change in codebooks.IQ4_CHANGES:
            try_code(data, state, np.float32(change))


@njit(nogil=True, cache=True, error_model="numpy")
def encode(
    weights: NDArray[np.float32],
    importance: NDArray[np.float32],
    subs: int,
    out: NDArray[np.uint8],
) -> int:
    """Encode whole blocks of `subs` sub-blocks, 1 or 8. Returns fault flags, 0 if all is well."""
    header = 2 if subs == 1 else 8
    block_bytes = header + subs * SUB // 2
    data = np.empty(2 * SUB * LANES, np.float32)
    state = np.zeros(ROWS, np.float32)
    halves = np.zeros(LANES, np.int64)
    codes = np.empty(SUB, np.uint8)
    faults = 0
    for start in range(0, weights.size, LANES * SUB):
        group = weights[start : start + LANES * SUB]
        top = lanes.transpose(group, SUB, data)
        if importance.size:
            lanes.transpose_importance(importance, start, SUB, data)
        else:
            data[SUB * LANES :] = F1
        search(data, state, subs, halves)
        for k in range(group.size // SUB):
            block = k // subs
            at = (start // SUB // subs + block) * block_bytes
            if k % subs == 0:
                faults |= faults_of(top, halves[block])
                put_half(halves[block], out, at)
                if subs > 1:
                    pack_scales(state, k, out[at + 2 : at + 8])
            sink = at + header + k % subs * (SUB // 2)
            scale = state[STEP + k] * state[BEST_CODE + k]
            part = group[k * SUB : (k + 1) * SUB]
            write_codes(part, scale, codes, out[sink : sink + SUB // 2])
    return faults


@njit(nogil=True, cache=True)
def decode(blocks: NDArray[np.uint8], subs: int, out: NDArray[np.float32]) -> None:
    """Inverse of `encode`."""
    header = 2 if subs == 1 else 8
    block_bytes = header + subs * SUB // 2
    values = VALUES.copy()
    for block in range(blocks.size // block_bytes):
        source = blocks[block * block_bytes : (block + 1) * block_bytes]
        d = get_half(source, 0)
        highs = np.int64(source[2]) | np.int64(source[3]) << 8
        for j in range(subs):
            scale = d
            if subs == 8:
                low = np.int64(source[4 + j // 2]) >> 4 * (j % 2)
                scale *= np.float32(((low & 15) | (highs >> 2 * j & 3) << 4) - 32)
            nibbles = source[header + j * (SUB // 2) : header + (j + 1) * (SUB // 2)]
            sink = out[(block * subs + j) * SUB : (block * subs + j + 1) * SUB]
            for i in range(SUB // 2):
                sink[i] = scale * values[nibbles[i] & 15]
                sink[SUB // 2 + i] = scale * values[nibbles[i] >> 4]
