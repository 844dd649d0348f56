"""Blocks of 32 weights: Q8_0, and Q4_0, Q5_0 (symmetric), Q4_1, Q5_1 (with a minimum).

The bytes are those of ggml, so its order of operations is kept: the code is computed with the
scale before it is rounded to float16, and no multiplication is fused with an addition. Extremes
are found on the floats' bits, which the compiler can vectorise; NaN and infinities, as the largest
magnitudes of all, show up on the way.

Codes of 4 and 5 bits share their packing: for 5 bits, 4 bytes of high bits; then 16 bytes of
nibbles, weight i with weight i + 16.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from app.encodings.kernels.half import MAGNITUDE, faults_of, half_bits, half_value

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK = 32
SIGN = np.uint32(0x80000000)
F0, F1 = np.float32(0), np.float32(1)
ROUNDER = np.float32(0.5)
FOUR, NIBBLE = np.uint8(4), np.uint8(15)


@njit(nogil=True, error_model="numpy")
def inverse_of(scale: np.float32) -> np.float32:
    """1 / scale; 0 where that is no number: such a scale is 0 as a float16 anyway."""
    inverse = F1 / scale
    return inverse if abs(inverse) < np.inf else F0


@njit(nogil=True)
def put_half(bits: int, out: NDArray[np.uint8]) -> None:
    """Two bytes, little endian."""
    out[0] = bits & 255
    out[1] = bits >> 8


@njit(nogil=True)
def get_half(source: NDArray[np.uint8]) -> np.float32:
    """Inverse of `put_half`."""
    return half_value(np.int64(source[0]) | np.int64(source[1]) << 8)


@njit(nogil=True)
def pack(codes: NDArray[np.uint8], bits: int, out: NDArray[np.uint8]) -> None:
    """32 codes of 4 or 5 bits to 16 or 20 bytes."""
    if bits == 5:
        mask = np.uint32(0)
        for i in range(BLOCK):
            mask |= np.uint32(np.uint32(codes[i] >> FOUR) << np.uint32(i))
        for i in range(4):
            out[i] = np.uint8(mask >> np.uint32(8 * i))
        out = out[4:]
    for i in range(16):
        out[i] = np.uint8((codes[i] & NIBBLE) | (codes[i + 16] << FOUR))


@njit(nogil=True)
def unpack(source: NDArray[np.uint8], bits: int, codes: NDArray[np.uint8]) -> None:
    """Inverse of `pack`."""
    nibbles = source[4:] if bits == 5 else source
    for i in range(16):
        codes[i] = nibbles[i] & NIBBLE
        codes[i + 16] = nibbles[i] >> FOUR
    if bits == 5:
        mask = np.uint32(0)
        for i in range(4):
            mask |= np.uint32(np.uint32(source[i]) << np.uint32(8 * i))
        for i in range(BLOCK):
            codes[i] |= np.uint8((mask >> np.uint32(i)) & np.uint32(1)) << FOUR


@njit(nogil=True)
def extreme_of(weights: NDArray[np.float32], bits: NDArray[np.uint32]) -> np.float32:
    """The weight of the largest magnitude, the first one of equals."""
    # As unsigned numbers, negative floats are on top; as signed ones, positive floats are.
    negative = np.uint32(0)
    positive = np.int32(0)
    for i in range(BLOCK):
        negative = max(negative, bits[i])
        positive = max(positive, np.int32(bits[i]))
    below = np.int64(negative & MAGNITUDE) if negative >= SIGN else np.int64(0)
    if below == positive and below:
        for i in range(BLOCK):
            if np.int64(bits[i] & MAGNITUDE) == below:
                return weights[i]
    if below > positive:
        return np.uint32(below | SIGN).view(np.float32)
    return np.uint32(positive).view(np.float32)


@njit(nogil=True)
def key_of(bits: int) -> np.int32:
    """A float's bits as an integer of the same order; its own inverse."""
    return np.int32(bits ^ ((bits >> np.int32(31)) & np.int32(0x7FFFFFFF)))


@njit(nogil=True, cache=True, error_model="numpy")
def encode_8(weights: NDArray[np.float32], out: NDArray[np.uint8]) -> int:
    """Q8_0: a scale and 32 signed bytes. Returns fault flags, 0 if all is well."""
    raw = weights.view(np.uint32)
    faults = 0
    for block in range(weights.size // BLOCK):
        part = weights[block * BLOCK : (block + 1) * BLOCK]
        bits = raw[block * BLOCK : (block + 1) * BLOCK]
        sink = out[block * 34 : (block + 1) * 34]
        top = np.uint32(0)
        for i in range(BLOCK):
            top = max(top, np.uint32(bits[i] & MAGNITUDE))
        scale = np.uint32(top).view(np.float32) / np.float32(127)
        half = half_bits(scale)
        faults |= faults_of(np.int64(top), half)
        put_half(half, sink)
        inverse = inverse_of(scale)
        codes = sink[2:]
        for i in range(BLOCK):
            value = part[i] * inverse
            whole = np.trunc(value)  # half away from zero, where rint would go to even
            away = np.copysign(F1 if abs(value - whole) >= ROUNDER else F0, value)
            codes[i] = np.uint8(np.int32(whole + away))
    return faults


@njit(nogil=True, cache=True)
def decode_8(blocks: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
    """Inverse of `encode_8`."""
    for block in range(blocks.size // 34):
        source = blocks[block * 34 : (block + 1) * 34]
        sink = out[block * BLOCK : (block + 1) * BLOCK]
        scale = get_half(source)
        codes = source[2:]
        for i in range(BLOCK):
            sink[i] = np.float32(np.int8(codes[i])) * scale


@njit(nogil=True, cache=True, error_model="numpy")
def encode_symmetric(weights: NDArray[np.float32], bits: int, out: NDArray[np.uint8]) -> int:
    """Q4_0, Q5_0: the extreme becomes the lowest code. Returns fault flags, 0 if all is well."""
    raw = weights.view(np.uint32)
    block_bytes = 18 if bits == 4 else 22
    half_range = np.float32(1 << (bits - 1))
    highest = np.int32((1 << bits) - 1)
    codes = np.empty(BLOCK, np.uint8)
    faults = 0
    for block in range(weights.size // BLOCK):
        part = weights[block * BLOCK : (block + 1) * BLOCK]
        sink = out[block * block_bytes : (block + 1) * block_bytes]
        extreme = extreme_of(part, raw[block * BLOCK : (block + 1) * BLOCK])
        scale = extreme / -half_range
        half = half_bits(scale)
        faults |= faults_of(np.int64(np.float32(extreme).view(np.uint32) & MAGNITUDE), half)
        put_half(half, sink)
        inverse = inverse_of(scale)
        for i in range(BLOCK):
            codes[i] = np.uint8(min(np.int32(part[i] * inverse + (half_range + ROUNDER)), highest))
        pack(codes, bits, sink[2:])
    return faults


@njit(nogil=True, cache=True)
def decode_symmetric(blocks: NDArray[np.uint8], bits: int, out: NDArray[np.float32]) -> None:
    """Inverse of `encode_symmetric`."""
    block_bytes = 18 if bits == 4 else 22
    half_range = np.float32(1 << (bits - 1))
    codes = np.empty(BLOCK, np.uint8)
    for block in range(blocks.size // block_bytes):
        source = blocks[block * block_bytes : (block + 1) * block_bytes]
        sink = out[block * BLOCK : (block + 1) * BLOCK]
        scale = get_half(source)
        unpack(source[2:], bits, codes)
        for i in range(BLOCK):
            sink[i] = (np.float32(codes[i]) - half_range) * scale


@njit(nogil=True, cache=True, error_model="numpy")
def encode_affine(weights: NDArray[np.float32], bits: int, out: NDArray[np.uint8]) -> int:
    """Q4_1, Q5_1: the grid spans the extremes. Returns fault flags, 0 if all is well."""
    raw = weights.view(np.int32)
    block_bytes = 20 if bits == 4 else 24
    highest = np.int32((1 << bits) - 1)
    codes = np.empty(BLOCK, np.uint8)
    faults = 0
    for block in range(weights.size // BLOCK):
        part = weights[block * BLOCK : (block + 1) * BLOCK]
        keys = raw[block * BLOCK : (block + 1) * BLOCK]
        sink = out[block * block_bytes : (block + 1) * block_bytes]
        low = high = key_of(keys[0])
        for i in range(BLOCK):
            key = key_of(keys[i])
            low = min(low, key)
            high = max(high, key)
        low, high = key_of(low), key_of(high)
        minimum, maximum = np.int32(low).view(np.float32), np.int32(high).view(np.float32)
        scale = (maximum - minimum) / np.float32(highest)
        half, half_minimum = half_bits(scale), half_bits(minimum)
        faults |= faults_of(max(low & 0x7FFFFFFF, high & 0x7FFFFFFF), half)
        faults |= faults_of(0, half_minimum)
        put_half(half, sink)
        put_half(half_minimum, sink[2:])
        inverse = inverse_of(scale)
        for i in range(BLOCK):
            codes[i] = np.uint8(min(np.int32((part[i] - minimum) * inverse + ROUNDER), highest))
        pack(codes, bits, sink[4:])
    return faults


@njit(nogil=True, cache=True)
def decode_affine(blocks: NDArray[np.uint8], bits: int, out: NDArray[np.float32]) -> None:
    """Inverse of `encode_affine`."""
    block_bytes = 20 if bits == 4 else 24
    codes = np.empty(BLOCK, np.uint8)
    for block in range(blocks.size // block_bytes):
        source = blocks[block * block_bytes : (block + 1) * block_bytes]
        sink = out[block * BLOCK : (block + 1) * BLOCK]
        scale, minimum = get_half(source), get_half(source[2:])
        unpack(source[4:], bits, codes)
        for i in range(BLOCK):
            sink[i] = np.float32(codes[i]) * scale + minimum
