"""MXFP4 and NVFP4: floats of 4 bits (E2M1: 0, 0.5, 1, 1.5, 2, 3, 4, 6 and a sign) with a scale.

MXFP4: 32 weights and a scale that is a power of two, E8M0. The bytes: the scale, 16 of nibbles.
NVFP4: 4 sub-blocks of 16 weights, each with a float of 8 bits as scale, UE4M3. The bytes: 4 scales,
then 8 bytes of nibbles a sub-block. Nibbles: weight i with the one half a sub-block further.

The search starts from the least scale that clips no weight and takes the one with the least square
error of those around it; ggml computes one from the largest weight. Weights that lie on a grid, as
those of a model that was trained in MXFP4, keep their values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from app.encodings.kernels import NOT_FINITE, TOO_LARGE, codebooks, lanes
from app.encodings.kernels.half import INFINITE
from app.encodings.kernels.inner import INNER
from app.encodings.kernels.lanes import LANES, RELAXED

if TYPE_CHECKING:
    from numpy.typing import NDArray

MX_SIZE, NV_SIZE = 32, 16
"""Weights a sub-block."""

# Rows of `state`.
START, UNIT, INVERSE, STEP, ERROR, LEAST, BEST = (i * LANES for i in range(7))
ROWS = 7 * LANES

F0, F1, TWO, TWELVE = np.float32(0), np.float32(1), np.float32(2), np.float32(12)
HALF_OF_ROUNDER = np.float32(1.5 * 2**22)
"""Added to a number below 2**21 and taken away again, twice this rounds to a whole number."""
EXPONENT = np.uint32(0x7F800000)
MIDDLES = tuple(np.float32(middle) for middle in codebooks.FP4_MIDDLES)
VALUES = np.array([*codebooks.FP4, *(-value for value in codebooks.FP4)], np.float32)
E8M0 = np.array(codebooks.E8M0_HALVES, np.float32)
UE4M3 = np.array(codebooks.UE4M3_HALVES, np.float32)
E8M0_CHANGES = np.array(codebooks.E8M0_CHANGES, np.int32)
UE4M3_CHANGES = np.array(codebooks.UE4M3_CHANGES, np.int32)


@njit(**INNER)
def table_of(size: int) -> NDArray[np.float32]:
    """Half the values of the scale bytes that may be written."""
    if size == MX_SIZE:
        return E8M0[: codebooks.E8M0_LAST + 1].copy()
    return UE4M3[: codebooks.UE4M3_LAST + 1].copy()


@njit(**INNER, error_model="numpy", fastmath=RELAXED)
def prepare(
    data: NDArray[np.float32],
    state: NDArray[np.float32],
    size: int,
    table: NDArray[np.float32],
) -> None:
    """Find the least scales that clip nothing, and measure the weights in halves of them."""
    for k in range(LANES):
        state[LEAST + k] = F0
    for i in range(size):
        row = data[i * LANES : (i + 1) * LANES]
        for k in range(LANES):
            state[LEAST + k] = max(state[LEAST + k], abs(row[k]))
    for k in range(LANES):
        start = min(np.searchsorted(table, state[LEAST + k] / TWELVE), table.size - 1)
        inverse = F1 / table[start]
        state[START + k] = state[BEST + k] = np.float32(start)
        state[UNIT + k] = inverse if inverse < np.inf else F0
        state[LEAST + k] = np.inf
    for i in range(size):
        row = data[i * LANES : (i + 1) * LANES]
        for k in range(LANES):
            row[k] = abs(row[k]) * state[UNIT + k]


@njit(**INNER, fastmath=RELAXED)
def tally(data: NDArray[np.float32], state: NDArray[np.float32], size: int) -> None:
    """Round the magnitudes on a grid of steps STEP; sum the weighted square errors.

    Doubled, E2M1 has steps of 1 up to 4, of 2 up to 8 and of 4 up to 12: half the power of two
    below a number, but not less than 1.
    """
    for k in range(LANES):
        state[ERROR + k] = F0
    for first in range(0, size, 8):
        values = data[first * LANES : (first + 8) * LANES]
        importances = data[(size + first) * LANES : (size + first + 8) * LANES]
        for k in range(LANES):
            inverse, step, error = state[INVERSE + k], state[STEP + k], state[ERROR + k]
            for i in range(8):  # unrolled: the sum stays in a register
                v = values[i * LANES + k]
                t = min(v * inverse, TWELVE)
                power = np.uint32(np.float32(t).view(np.uint32) & EXPONENT).view(np.float32)
                rounder = max(power, TWO) * HALF_OF_ROUNDER
                missed = ((t + rounder) - rounder) * step - v
                error += importances[i * LANES + k] * missed * missed
            state[ERROR + k] = error


@njit(**INNER, error_model="numpy")
def try_scale(
    data: NDArray[np.float32],
    state: NDArray[np.float32],
    size: int,
    table: NDArray[np.float32],
    change: int,
) -> None:
    """Try the scale whose byte is `change` away from the start; keep it where it is the best."""
    last = table.size - 1
    for k in range(LANES):
        byte = min(max(int(state[START + k]) + change, 0), last)
        state[STEP + k] = table[byte] * state[UNIT + k]
        state[INVERSE + k] = F1 / state[STEP + k] if state[STEP + k] > F0 else F0
    tally(data, state, size)
    for k in range(LANES):
        byte = min(max(int(state[START + k]) + change, 0), last)
        better = state[ERROR + k] < state[LEAST + k]
        state[LEAST + k] = state[ERROR + k] if better else state[LEAST + k]
        state[BEST + k] = np.float32(byte) if better else state[BEST + k]


@njit(**INNER)
def write_codes(
    weights: NDArray[np.float32],
    step: np.float32,
    codes: NDArray[np.uint8],
    out: NDArray[np.uint8],
) -> None:
    """Round one sub-block. A zero has no sign, and with a scale of zero all codes are zero."""
    size = weights.size
    for i in range(size):
        magnitude = abs(weights[i])
        code = np.int32(0)
        for middle in MIDDLES:
            code += np.int32(magnitude > middle * step)
        sign = np.int32(8) if weights[i] < F0 and code > 0 else np.int32(0)
        codes[i] = np.uint8(code | sign if step > F0 else 0)
    for i in range(size // 2):
        out[i] = codes[i] | codes[size // 2 + i] << np.uint8(4)


@njit(nogil=True, cache=True, error_model="numpy")
def encode(
    weights: NDArray[np.float32],
    importance: NDArray[np.float32],
    size: int,
    out: NDArray[np.uint8],
) -> int:
    """Encode whole blocks; `size` is that of a sub-block. Returns fault flags, 0 if all is well."""
    subs = 1 if size == MX_SIZE else 4
    block_bytes = subs + subs * size // 2
    table = table_of(size)
    limit = np.float32(TWELVE * table[-1])
    data = np.empty(2 * size * LANES, np.float32)
    state = np.zeros(ROWS, np.float32)
    codes = np.empty(size, np.uint8)
    changes = E8M0_CHANGES if size == MX_SIZE else UE4M3_CHANGES
    faults = 0
    for start in range(0, weights.size, LANES * size):
        group = weights[start : start + LANES * size]
        top = np.uint32(lanes.transpose(group, size, data))
        if top >= INFINITE:
            faults |= NOT_FINITE
        elif top.view(np.float32) > limit:
            faults |= TOO_LARGE
        if importance.size:
            lanes.transpose_importance(importance, start, size, data)
        else:
            data[size * LANES :] = F1
        prepare(data, state, size, table)
        for change in changes:
            try_scale(data, state, size, table, change)
        for k in range(group.size // size):
            at = (start // size + k) // subs * block_bytes
            byte = np.int32(state[BEST + k])
            out[at + k % subs] = byte
            sink = at + subs + k % subs * (size // 2)
            part = group[k * size : (k + 1) * size]
            write_codes(part, table[byte], codes, out[sink : sink + size // 2])
    return faults


@njit(nogil=True, cache=True)
def decode(blocks: NDArray[np.uint8], size: int, out: NDArray[np.float32]) -> None:
    """Inverse of `encode`."""
    subs = 1 if size == MX_SIZE else 4
    block_bytes = subs + subs * size // 2
    values = VALUES.copy()
    steps = E8M0.copy() if size == MX_SIZE else np.concatenate((UE4M3, UE4M3))
    if size == NV_SIZE:
        steps[codebooks.UE4M3_LAST + 1] = F0
    for sub in range(out.size // size):
        at = sub // subs * block_bytes
        step = steps[blocks[at + sub % subs]]
        source = at + subs + sub % subs * (size // 2)
        nibbles = blocks[source : source + size // 2]
        sink = out[sub * size : (sub + 1) * size]
        for i in range(size // 2):
            sink[i] = step * values[nibbles[i] & 15]
            sink[size // 2 + i] = step * values[nibbles[i] >> 4]
