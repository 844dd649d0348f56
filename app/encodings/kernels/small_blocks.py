"""Blocks of 32 weights: Q8_0, and Q4_0, Q5_0 (symmetric), Q4_1, Q5_1 (with a minimum).

The bytes are those of ggml, so its order of operations is kept: a code is computed with the scale
before that is rounded to float16, and no multiplication is fused with an addition. NaN and
infinities have the largest magnitudes of all, as bits, and show up as these.

The codes of 4 and 5 bits are packed alike: for 5 bits, 4 bytes of high bits; then 16 bytes of
nibbles, weight i with weight i + 16.

Where a loop is left to the compiler, the length of a block is an argument: one of constant length
would be unrolled before the compiler considers SIMD for it, and run at a fifth of the speed.
Likewise small functions are inlined and get offsets instead of slices, each of which would count
references.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from app.encodings.kernels import NOT_FINITE
from app.encodings.kernels.half import (
    INFINITE,
    MAGNITUDE,
    faults_of,
    get_half,
    half_bits,
    put_half,
)
from app.encodings.kernels.inner import INNER
from app.encodings.kernels.simd import (
    below,
    bits_of,
    flags_of,
    greatest,
    highest,
    least,
    load,
    load_bytes,
    lowest,
    spread,
    steps_of,
    store,
    store_bytes,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK = 32
"""Weights a block."""
F0, F1 = np.float32(0), np.float32(1)
ROUNDER = np.float32(0.5)
FOUR, NIBBLE = np.int32(4), np.int32(15)


@njit(nogil=True, error_model="numpy", inline="always")
def inverse_of(scale: np.float32) -> np.float32:
    """1 / scale; 0 where that is no number: such a scale is 0 as a float16 anyway."""
    inverse = np.float32(F1 / scale)
    return inverse if abs(inverse) < np.inf else F0


@njit(**INNER)
def first_of(weights: NDArray[np.float32], at: int, magnitude: np.float32) -> np.float32:
    """The first weight of a block that has this magnitude."""
    for i in range(at, at + BLOCK):
        if abs(weights[i]) == magnitude:
            return np.float32(weights[i])
    return F0


@njit(nogil=True, error_model="numpy", inline="always")
def grid_of(
    weights: NDArray[np.float32],
    at: int,
    low: np.float32,
    high: np.float32,
    code_bits: int,
    affine: bool,
) -> tuple[np.float32, np.float32]:
    """The scale and the minimum of a block whose weights go from `low` to `high`."""
    if affine:
        if low == 0:  # the sign of a zero is that of the first one
            low, high = first_of(weights, at, F0), abs(high)
        return (high - low) / np.float32((1 << code_bits) - 1), low
    extreme = low if -low > high else high
    if -low == high:
        extreme = first_of(weights, at, high) if high > 0 else F0
    return extreme / -np.float32(1 << (code_bits - 1)), F0


@njit(nogil=True, cache=True, error_model="numpy")
def encode(
    weights: NDArray[np.float32], code_bits: int, affine: bool, out: NDArray[np.uint8]
) -> int:
    """Q4_0, Q4_1, Q5_0, Q5_1. Returns fault flags, 0 if all is well."""
    header = (4 if affine else 2) + (4 if code_bits == 5 else 0)
    highest_code = spread(np.int32((1 << code_bits) - 1))
    nibble, sixteen = spread(np.int32(15)), spread(np.int32(16))
    bias = spread(ROUNDER if affine else np.float32(1 << (code_bits - 1)) + ROUNDER)
    magnitudes, largest = spread(np.int32(0x7FFFFFFF)), spread(np.int32(0))
    faults = 0
    for block in range(weights.size // BLOCK):
        at = block * BLOCK
        sink = block * (header + BLOCK // 2)
        w0, w1 = load(weights, at), load(weights, at + 8)
        w2, w3 = load(weights, at + 16), load(weights, at + 24)
        for w in (w0, w1, w2, w3):
            largest = greatest(largest, bits_of(w) & magnitudes)
        low = lowest(least(least(w0, w1), least(w2, w3)))
        high = highest(greatest(greatest(w0, w1), greatest(w2, w3)))
        scale, minimum = grid_of(weights, at, low, high, code_bits, affine)
        half = half_bits(scale)
        faults |= faults_of(0, half)
        put_half(half, out, sink)
        if affine:
            half = half_bits(minimum)
            faults |= faults_of(0, half)
            put_half(half, out, sink + 2)
        start, inverse = spread(minimum), spread(inverse_of(scale))
        q0 = least(steps_of(w0, start, inverse, bias), highest_code)
        q1 = least(steps_of(w1, start, inverse, bias), highest_code)
        q2 = least(steps_of(w2, start, inverse, bias), highest_code)
        q3 = least(steps_of(w3, start, inverse, bias), highest_code)
        store_bytes(out, sink + header, (q0 & nibble) | q2 * sixteen)
        store_bytes(out, sink + header + 8, (q1 & nibble) | q3 * sixteen)
        if code_bits == 5:
            place = sink + header - 4
            for q in (q0, q1, q2, q3):
                out[place] = np.uint8(flags_of(below(nibble, q)))
                place += 1
    if highest(largest) >= INFINITE:
        faults |= NOT_FINITE
    return faults


@njit(nogil=True, cache=True)
def decode(
    blocks: NDArray[np.uint8], size: int, code_bits: int, affine: bool, out: NDArray[np.float32]
) -> None:
    """Inverse of `encode`."""
    header = (4 if affine else 2) + (4 if code_bits == 5 else 0)
    half_size = size // 2
    middle = F0 if affine else np.float32(1 << (code_bits - 1))
    for block in range(out.size // size):
        source = block * (header + half_size)
        sink = block * size
        scale = get_half(blocks, source)
        minimum = get_half(blocks, source + 2) if affine else F0
        mask = np.uint32(0)
        if code_bits == 5:
            for i in range(4):
                byte = np.uint32(blocks[source + header - 4 + i])
                mask |= np.uint32(byte << np.uint32(8 * i))
        for i in range(half_size):
            byte = blocks[source + header + i]
            fifths = np.uint32(mask >> np.uint32(i))  # of weight i, and 16 bits up of i + 16
            low = np.int32(byte & NIBBLE) | np.int32(fifths << np.uint32(4) & np.uint32(16))
            high = np.int32(byte >> FOUR) | np.int32(fifths >> np.uint32(12) & np.uint32(16))
            out[sink + i] = (np.float32(np.int32(low)) - middle) * scale + minimum
            out[sink + half_size + i] = (np.float32(np.int32(high)) - middle) * scale + minimum


@njit(nogil=True, cache=True, error_model="numpy")
def encode_bytes(weights: NDArray[np.float32], size: int, out: NDArray[np.uint8]) -> int:
    """Q8_0: `size` is 32. Returns fault flags, 0 if all is well."""
    raw = weights.view(np.uint32)
    faults = 0
    for block in range(weights.size // size):
        at = block * size
        sink = block * (size + 2)
        top = np.uint32(0)
        for i in range(at, at + size):
            top = max(top, np.uint32(raw[i] & MAGNITUDE))
        scale = np.uint32(top).view(np.float32) / np.float32(127)
        half = half_bits(scale)
        faults |= faults_of(np.int64(top), half)
        put_half(half, out, sink)
        inverse = inverse_of(scale)
        for i in range(size):
            value = weights[at + i] * inverse
            whole = np.trunc(value)  # half away from zero, where rint would go to even
            away = np.copysign(F1 if abs(value - whole) >= ROUNDER else F0, value)
            out[sink + 2 + i] = np.uint8(np.int32(whole + away))
    return faults


@njit(nogil=True, cache=True)
def decode_bytes(blocks: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
    """Inverse of `encode_bytes`."""
    for block in range(out.size // BLOCK):
        source = block * (BLOCK + 2)
        scale = spread(get_half(blocks, source))
        for i in range(0, BLOCK, 8):
            store(out, block * BLOCK + i, load_bytes(blocks, source + 2 + i) * scale)
