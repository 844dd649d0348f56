"""Blocks of 32 weights: Q8_0, and Q4_0, Q5_0 (symmetric), Q4_1, Q5_1 (with a minimum).

The bytes are those of ggml, so its order of operations is kept: a code is computed with the scale
before that is rounded to float16, and no multiplication is fused with an addition. Extremes are
found on the floats' bits, as integers, which the compiler can vectorise; NaN and infinities, the
largest magnitudes of all, show up on the way.

The codes of 4 and 5 bits are packed alike: for 5 bits, 4 bytes of high bits; then 16 bytes of
nibbles, weight i with weight i + 16.

The length of a block is an argument: a loop of constant length would be unrolled before the
compiler considers SIMD for it, and run at a fifth of the speed. Likewise small functions are
inlined and get offsets instead of slices, each of which would count references.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from app.encodings.kernels.half import MAGNITUDE, faults_of, get_half, half_bits, put_half

if TYPE_CHECKING:
    from numpy.typing import NDArray

F0, F1 = np.float32(0), np.float32(1)
ROUNDER = np.float32(0.5)
FOUR, NIBBLE = np.int32(4), np.int32(15)


@njit(nogil=True, error_model="numpy", inline="always")
def inverse_of(scale: np.float32) -> np.float32:
    """1 / scale; 0 where that is no number: such a scale is 0 as a float16 anyway."""
    inverse = np.float32(F1 / scale)
    return inverse if abs(inverse) < np.inf else F0


@njit(nogil=True, inline="always")
def key_of(bits: int) -> np.int32:
    """A float's bits as an integer of the same order; its own inverse."""
    return np.int32(bits ^ ((bits >> np.int32(31)) & np.int32(0x7FFFFFFF)))


@njit(nogil=True, inline="always")
def first_of(bits: NDArray[np.int32], at: int, size: int, magnitude: int) -> np.float32:
    """The first weight of a magnitude."""
    for i in range(at, at + size):
        if bits[i] & 0x7FFFFFFF == magnitude:
            return np.float32(np.int32(bits[i]).view(np.float32))
    return F0


@njit(nogil=True, error_model="numpy")
def grid_of(
    bits: NDArray[np.int32], at: int, size: int, code_bits: int, affine: bool
) -> tuple[np.float32, np.float32, np.int64]:
    """The scale and the minimum of one block, and the bits of its largest magnitude."""
    low = high = key_of(bits[at])
    for i in range(at, at + size):
        key = key_of(bits[i])
        low = min(low, key)
        high = max(high, key)
    low, high = key_of(low), key_of(high)
    below, above = low & 0x7FFFFFFF, high & 0x7FFFFFFF
    top = max(below, above)
    maximum = np.int32(high).view(np.float32)
    minimum = np.int32(low).view(np.float32)
    if affine:
        if below == 0:  # the sign of a zero is that of the first one
            minimum = first_of(bits, at, size, 0)
        scale = (maximum - minimum) / np.float32((1 << code_bits) - 1)
        return scale, minimum, top
    extreme = minimum if below > above else maximum
    if below == above:
        extreme = first_of(bits, at, size, top) if top else F0
    scale = extreme / -np.float32(1 << (code_bits - 1))
    return scale, F0, top


@njit(nogil=True, cache=True, error_model="numpy")
def encode(
    weights: NDArray[np.float32], size: int, code_bits: int, affine: bool, out: NDArray[np.uint8]
) -> int:
    """Q4_0, Q4_1, Q5_0, Q5_1: `size` is 32. Returns fault flags, 0 if all is well."""
    raw = weights.view(np.int32)
    header = (4 if affine else 2) + (4 if code_bits == 5 else 0)
    half_size = size // 2
    highest = np.int32((1 << code_bits) - 1)
    bias = ROUNDER if affine else np.float32(1 << (code_bits - 1)) + ROUNDER
    faults = 0
    for block in range(weights.size // size):
        at = block * size
        sink = block * (header + half_size)
        scale, minimum, top = grid_of(raw, at, size, code_bits, affine)
        half = half_bits(scale)
        faults |= faults_of(top, half)
        put_half(half, out, sink)
        if affine:
            half = half_bits(minimum)
            faults |= faults_of(top, half)
            put_half(half, out, sink + 2)
        inverse = inverse_of(scale)
        mask = np.uint32(0)
        for i in range(half_size):
            low = np.int32((weights[at + i] - minimum) * inverse + bias)
            high = np.int32((weights[at + half_size + i] - minimum) * inverse + bias)
            low, high = min(low, highest), min(high, highest)
            out[sink + header + i] = np.uint8((low & NIBBLE) | (high & NIBBLE) << FOUR)
            if code_bits == 5:
                mask |= np.uint32(np.uint32(low >> FOUR) << np.uint32(i))
                mask |= np.uint32(np.uint32(high >> FOUR) << np.uint32(i + 16))
        if code_bits == 5:
            for i in range(4):
                out[sink + header - 4 + i] = np.uint8(mask >> np.uint32(8 * i))
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
def decode_bytes(blocks: NDArray[np.uint8], size: int, out: NDArray[np.float32]) -> None:
    """Inverse of `encode_bytes`."""
    for block in range(out.size // size):
        source = block * (size + 2)
        sink = block * size
        scale = get_half(blocks, source)
        for i in range(size):
            out[sink + i] = np.float32(np.int8(blocks[source + 2 + i])) * scale
