"""Q4_K and Q5_K: super-blocks of 8 sub-blocks of 32 weights, each with a scale and a minimum.

weight = d * scale * q - dmin * minimum, with q of 4 or 5 bits, scale and minimum of 6 bits, and two
float16 a super-block. The bytes: d, dmin, 12 bytes of scales and minima, for 5 bits 32 bytes of
high bits, 128 bytes of nibbles.

The search has two steps. First every sub-block gets the real-valued scale and offset that fit it
best: grids with slightly different spans are tried, each refitted by weighted least squares, and
each next one starts from the best offset so far. Then d and dmin are set by the largest scale and
minimum, and each sub-block tries the 6-bit scales around its own with the best 6-bit minimum for
each, on the grid as it will be stored.

Importance of a weight x: 3 + |x| / rms of its sub-block. More weight to the large ones costs plain
error, less costs error weighted by magnitude; with 3, both are below those of ggml's search, which
it shares the idea of candidate grids with.
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
    SUM_Q,
    SUM_QQ,
    SUM_QV,
    SUM_V,
    SUM_VV,
    TINY,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUB = 32
"""Weights a sub-block."""
SUPER = 256
"""Weights a super-block."""
BLOCKS = LANES * SUB // SUPER
"""Super-blocks that are searched at once."""

# More rows of `state`. Values are measured from LOW, so that a small spread around a large mean
# keeps its digits in the closed form.
LOW, SPAN, SUM_W, OFFSET, STEP, MIN_STEP, CODE, MIN_CODE, BEST_CODE, BEST_MIN = (
    lanes.SHARED + i * LANES for i in range(10)
)
ROWS = lanes.SHARED + 10 * LANES

F0, F1, F2 = np.float32(0), np.float32(1), np.float32(2)
TOP6 = np.float32(63)
"""The largest scale and minimum."""
SHARE, SINGULAR = np.float32(numbers.AFFINE_SHARE), np.float32(numbers.SINGULAR)


@njit(nogil=True, fastmath=RELAXED, error_model="numpy")
def prepare(data: NDArray[np.float32], state: NDArray[np.float32], top: np.float32) -> None:
    """Measure the values from LOW, set their importances and the sums that do not change."""
    for k in range(LANES):
        state[LOW + k] = state[SUM_VV + k] = F0
        state[SPAN + k] = data[k]
    for i in range(SUB):
        row = data[i * LANES : (i + 1) * LANES]
        for k in range(LANES):
            state[LOW + k] = min(state[LOW + k], row[k])
            state[SPAN + k] = max(state[SPAN + k], row[k])
            state[SUM_VV + k] += row[k] * row[k]
    for k in range(LANES):
        state[SPAN + k] -= state[LOW + k]
        rms = np.sqrt(state[SUM_VV + k] / np.float32(SUB))
        state[INVERSE + k] = F1 / rms if rms > TINY else F0
        state[SCALE + k] = state[SPAN + k] / top
        state[ERROR + k] = np.inf
        state[OFFSET + k] = state[SUM_W + k] = state[SUM_V + k] = state[SUM_VV + k] = F0
    for i in range(SUB):
        row = data[i * LANES : (i + 1) * LANES]
        importances = data[(SUB + i) * LANES : (SUB + i + 1) * LANES]
        for k in range(LANES):
            w = SHARE + abs(row[k]) * state[INVERSE + k]
            v = row[k] - state[LOW + k]
            importances[k] = w
            row[k] = v
            state[SUM_W + k] += w
            state[SUM_V + k] += w * v
            state[SUM_VV + k] += w * v * v


@njit(nogil=True, fastmath=RELAXED, error_model="numpy")
def try_span(
    data: NDArray[np.float32], state: NDArray[np.float32], top: np.float32, stretch: np.float32
) -> None:
    """Fit a grid on which the span has top + stretch steps; keep it where it is the best."""
    for k in range(LANES):
        width = state[SPAN + k] - state[OFFSET + k]
        state[SHIFT + k] = state[OFFSET + k]
        state[INVERSE + k] = (top + stretch) / width if width > TINY else F0
    lanes.tally(data, state, SUB, F0, top)
    for k in range(LANES):
        w, v = state[SUM_W + k], state[SUM_V + k]
        q, qq, qv = state[SUM_Q + k], state[SUM_QQ + k], state[SUM_QV + k]
        det = w * qq - q * q
        solvable = det > SINGULAR * w * qq
        offset = (qq * v - q * qv) / det if solvable else F0
        offset = min(offset, -state[LOW + k])  # the stored minimum cannot be above zero
        scale = (qv - offset * q) / qq if solvable else F0
        error = (
            scale * (scale * qq + F2 * (offset * q - qv))
            + offset * (offset * w - F2 * v)
            + state[SUM_VV + k]
        )
        better = solvable and error < state[ERROR + k] - MARGIN * state[SUM_VV + k]
        state[ERROR + k] = error if better else state[ERROR + k]
        state[SCALE + k] = scale if better else state[SCALE + k]
        state[OFFSET + k] = offset if better else state[OFFSET + k]


@njit(nogil=True, error_model="numpy")
def set_steps(state: NDArray[np.float32], block: int, halves: NDArray[np.int64]) -> None:
    """Fix d and dmin of one of the super-blocks by its largest scale and minimum."""
    first, last = block * 8, block * 8 + 8
    scale = minimum = F0
    for k in range(first, last):
        scale = max(scale, state[SCALE + k])
        minimum = max(minimum, -(state[OFFSET + k] + state[LOW + k]))
    halves[2 * block] = step_bits(scale, TOP6)
    halves[2 * block + 1] = step_bits(minimum, TOP6)
    d, dmin = half_value(halves[2 * block]), half_value(halves[2 * block + 1])
    for k in range(first, last):
        state[STEP + k] = d
        state[MIN_STEP + k] = dmin
        m = -(state[OFFSET + k] + state[LOW + k])
        state[CODE + k] = min(TOP6, np.rint(state[SCALE + k] / d)) if d > F0 else F0
        state[MIN_CODE + k] = min(TOP6, np.rint(m / dmin)) if dmin > F0 else F0
        state[BEST_CODE + k] = state[CODE + k]
        state[BEST_MIN + k] = state[MIN_CODE + k]
        state[ERROR + k] = np.inf


@njit(nogil=True, fastmath=RELAXED, error_model="numpy")
def try_code(
    data: NDArray[np.float32], state: NDArray[np.float32], top: np.float32, change: np.float32
) -> None:
    """Try the 6-bit scale that is `change` away from the nearest, with the best minimum for it."""
    for k in range(LANES):
        scale = state[STEP + k] * min(max(state[CODE + k] + change, F0), TOP6)
        state[INVERSE + k] = F1 / scale if scale > F0 else F0
        state[SHIFT + k] = -(state[MIN_STEP + k] * state[MIN_CODE + k] + state[LOW + k])
    lanes.tally(data, state, SUB, F0, top)
    for k in range(LANES):
        w, v = state[SUM_W + k], state[SUM_V + k]
        q, qq, qv = state[SUM_Q + k], state[SUM_QQ + k], state[SUM_QV + k]
        step, low = state[MIN_STEP + k], state[LOW + k]
        code = min(max(state[CODE + k] + change, F0), TOP6)
        scale = state[STEP + k] * code
        wanted = (v - scale * q) / w + low
        minimum = min(max(np.rint(-wanted / step), F0), TOP6) if step > F0 else F0
        offset = -(step * minimum + low)
        error = (
            scale * (scale * qq + F2 * (offset * q - qv))
            + offset * (offset * w - F2 * v)
            + state[SUM_VV + k]
        )
        better = error < state[ERROR + k] - MARGIN * state[SUM_VV + k]
        state[ERROR + k] = error if better else state[ERROR + k]
        state[BEST_CODE + k] = code if better else state[BEST_CODE + k]
        state[BEST_MIN + k] = minimum if better else state[BEST_MIN + k]


@njit(nogil=True)
def pack_scales(state: NDArray[np.float32], block: int, out: NDArray[np.uint8]) -> None:
    """8 scales and 8 minima in 12 bytes: the last four of each put their top bits on the first."""
    for j in range(4):
        low, high = block * 8 + j, block * 8 + j + 4
        s, m = np.int64(state[BEST_CODE + low]), np.int64(state[BEST_MIN + low])
        s4, m4 = np.int64(state[BEST_CODE + high]), np.int64(state[BEST_MIN + high])
        out[j] = np.uint8(s | (s4 >> 4) << 6)
        out[4 + j] = np.uint8(m | (m4 >> 4) << 6)
        out[8 + j] = np.uint8((s4 & 15) | (m4 & 15) << 4)


@njit(nogil=True, fastmath=RELAXED, error_model="numpy")
def write_codes(
    weights: NDArray[np.float32],
    state: NDArray[np.float32],
    block: int,
    bits: int,
    codes: NDArray[np.uint8],
) -> None:
    """Round the weights of one super-block on their final grids."""
    top = np.float32((1 << bits) - 1)
    for j in range(8):
        k = block * 8 + j
        scale = state[STEP + k] * state[BEST_CODE + k]
        inverse = F1 / scale if scale > F0 else F0
        minimum = state[MIN_STEP + k] * state[BEST_MIN + k]
        part = weights[j * SUB : (j + 1) * SUB]
        sink = codes[j * SUB : (j + 1) * SUB]
        for i in range(SUB):
            sink[i] = np.uint8(np.int32(min(max(np.rint((part[i] + minimum) * inverse), F0), top)))


@njit(nogil=True)
def pack_codes(codes: NDArray[np.uint8], bits: int, out: NDArray[np.uint8]) -> None:
    """With 5 bits, the highest: bit j of a byte is of sub-block j. Then nibbles, of two each."""
    if bits == 5:
        for i in range(SUB):
            out[i] = 0
        for j in range(8):
            part = codes[j * SUB : (j + 1) * SUB]
            for i in range(SUB):
                out[i] |= (part[i] >> np.uint8(4)) << np.uint8(j)
        out = out[SUB:]
    for j in range(4):
        low = codes[2 * j * SUB : (2 * j + 1) * SUB]
        high = codes[(2 * j + 1) * SUB : (2 * j + 2) * SUB]
        sink = out[j * SUB : (j + 1) * SUB]
        for i in range(SUB):
            sink[i] = (low[i] & np.uint8(15)) | (high[i] << np.uint8(4))


@njit(nogil=True, error_model="numpy")
def search(
    weights: NDArray[np.float32],
    bits: int,
    data: NDArray[np.float32],
    state: NDArray[np.float32],
    halves: NDArray[np.int64],
) -> int:
    """Find scales and minima of up to `BLOCKS` super-blocks; returns fault flags."""
    top = np.float32((1 << bits) - 1)
    largest = lanes.transpose(weights, SUB, data)
    prepare(data, state, top)
    for tenths in numbers.TENTHS_AFFINE:
        try_span(data, state, top, np.float32(tenths) * np.float32(0.1))
    for block in range(BLOCKS):
        set_steps(state, block, halves)
    for change in numbers.CHANGES:
        try_code(data, state, top, np.float32(change))
    faults = 0
    for half in halves:
        faults |= faults_of(largest, half)
    return faults


@njit(nogil=True, cache=True, error_model="numpy")
def encode(weights: NDArray[np.float32], bits: int, out: NDArray[np.uint8]) -> int:
    """Encode whole super-blocks; `bits` is 4 or 5. Returns fault flags, 0 if all is well."""
    block_bytes = 144 if bits == 4 else 176
    data = np.empty(2 * SUB * LANES, np.float32)
    state = np.zeros(ROWS, np.float32)
    halves = np.zeros(2 * BLOCKS, np.int64)
    codes = np.empty(SUPER, np.uint8)
    faults = 0
    for start in range(0, weights.size, BLOCKS * SUPER):
        group = weights[start : start + BLOCKS * SUPER]
        faults |= search(group, bits, data, state, halves)
        for block in range(group.size // SUPER):
            at = (start // SUPER + block) * block_bytes
            sink = out[at : at + block_bytes]
            put_half(halves[2 * block], sink, 0)
            put_half(halves[2 * block + 1], sink, 2)
            pack_scales(state, block, sink[4:16])
            write_codes(group[block * SUPER : (block + 1) * SUPER], state, block, bits, codes)
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
