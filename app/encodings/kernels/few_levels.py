"""TQ1_0, TQ2_0, Q2_0 and Q1_0: weights of two to four levels, and one float16 scale d a block.

TQ1_0: 256 weights of -d, 0 and d, five to a byte: the byte is the number of base 3 as a fraction of
256, rounded up, so that multiplying by 3 moves the next digit out. The first 32 bytes hold weights
i, i + 32, ..., i + 128; 16 bytes weights 160 + i, 176 + i, ...; 4 bytes, of four digits, the rest.
TQ2_0: two bits each, in two halves: byte i of a half holds weights i, i + 32, i + 64 and i + 96.
Q2_0: 64 weights of -d, 0, d and 2 d, and d may be negative; a byte holds four neighbours.
Q1_0: 128 weights of -d and d; a byte holds eight neighbours.
TQ1_0 and TQ2_0 end with d, Q2_0 and Q1_0 start with it.

ggml takes the largest magnitude for d, which suits weights that have these levels already. Here it
is only the first of a few scales that are tried, each refitted by least squares; the best one is
refitted until it stays. On all other weights that leaves a half to a ninth of ggml's square error.
Q1_0 has no choice but d, whose best value is the mean magnitude; without importances the bytes are
those of ggml, so its order of summation is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from app.encodings.kernels import codebooks
from app.encodings.kernels.half import (
    MAGNITUDE,
    faults_of,
    get_half,
    half_bits,
    half_value,
    put_half,
)
from app.encodings.kernels.inner import INNER

if TYPE_CHECKING:
    from numpy.typing import NDArray

TERNARY = 256
"""Weights a block of TQ1_0 and TQ2_0."""
TRIT_BYTES, PAIR_BYTES = 54, 66
"""Bytes of these blocks."""
QUARTERS = 64
"""Weights a block of Q2_0."""
SIGNS = 128
"""Weights a block of Q1_0."""

IN_BLOCK = {"contract", "nsz", "reassoc"}
"""Sums may be reordered, as they are over one block, always of the same size."""

F0, F1, F2 = np.float32(0), np.float32(1), np.float32(2)
HALF = np.float32(0.5)
BETTER = np.float32(1 + codebooks.REFIT_GAIN)
TERNARY_STARTS = np.array(codebooks.TERNARY_STARTS, np.float32)
QUARTER_STARTS = np.array(codebooks.QUARTER_STARTS, np.float32)
TAIL = np.float32(codebooks.TAIL)
NEIGHBOUR = np.float32(codebooks.NEIGHBOUR)
REFITS = codebooks.REFITS


@njit(**INNER)
def load(source: NDArray[np.float32], at: int, target: NDArray[np.float32]) -> None:
    """Copy what starts at `at`. An unsigned index is not tested for counting from the end."""
    first = np.uint64(at)
    for i in range(target.size):
        target[i] = source[first + np.uint64(i)]


@njit(**INNER)
def top_of(bits: NDArray[np.uint32]) -> np.uint32:
    """The bits of the largest magnitude."""
    top = np.uint32(0)
    for i in range(bits.size):
        top = max(top, np.uint32(bits[i] & MAGNITUDE))
    return np.uint32(top)


@njit(**INNER, fastmath=IN_BLOCK, error_model="numpy")
def mean_magnitude(x: NDArray[np.float32], w: NDArray[np.float32]) -> np.float32:
    """Weighted by importance."""
    total = magnitudes = F0
    for i in range(x.size):
        total += w[i]
        magnitudes += w[i] * abs(x[i])
    return np.float32(magnitudes / total)


@njit(**INNER, fastmath=IN_BLOCK)
def beyond(
    x: NDArray[np.float32], w: NDArray[np.float32], limit: np.float32
) -> tuple[np.float32, np.float32]:
    """The importances and the weighted magnitudes of the weights with magnitudes above `limit`."""
    total = magnitudes = F0
    for i in range(x.size):
        magnitude = abs(x[i])
        inside = w[i] if magnitude > limit else F0
        total += inside
        magnitudes += inside * magnitude
    return total, magnitudes


@njit(**INNER, error_model="numpy")
def search_ternary(
    x: NDArray[np.float32], w: NDArray[np.float32], largest: np.float32
) -> np.float32:
    """The scale d for -d, 0 and d."""
    mean = mean_magnitude(x, w)
    best = most = F0
    for attempt in range(-1, TERNARY_STARTS.size + REFITS):
        start = largest if attempt < 0 else best
        if 0 <= attempt < TERNARY_STARTS.size:
            start = TERNARY_STARTS[attempt] * mean
        total, magnitudes = beyond(x, w, HALF * start)
        scale = magnitudes / total if total > F0 else F0
        if scale * magnitudes > most * BETTER:
            best, most = scale, scale * magnitudes
        elif attempt >= TERNARY_STARTS.size:
            break
    return np.float32(best)


@njit(**INNER, fastmath=IN_BLOCK)
def tail_side(x: NDArray[np.float32], w: NDArray[np.float32], limit: np.float32) -> np.float32:
    """Positive where the weights above `limit` weigh more than those below -`limit`."""
    side = F0
    for i in range(x.size):
        further = max(abs(x[i]) - limit, F0)
        side += w[i] * further * np.copysign(further, x[i])
    return side


@njit(**INNER, fastmath=IN_BLOCK, error_model="numpy")
def better_of(
    x: NDArray[np.float32], w: NDArray[np.float32], one: np.float32, other: np.float32
) -> tuple[np.float32, np.float32]:
    """Round to -1 .. 2 times either scale, and refit it: the better one and what it gains.

    Two at a time, as one alone would wait for its own sums.
    """
    inverse1 = F1 / one if one != F0 else F0
    inverse2 = F1 / other if other != F0 else F0
    qq1 = qv1 = qq2 = qv2 = F0
    for i in range(x.size):
        q1 = min(max(np.rint(x[i] * inverse1), -F1), F2)
        q2 = min(max(np.rint(x[i] * inverse2), -F1), F2)
        wq1, wq2 = w[i] * q1, w[i] * q2
        qq1 += wq1 * q1
        qv1 += wq1 * x[i]
        qq2 += wq2 * q2
        qv2 += wq2 * x[i]
    scale1 = qv1 / qq1 if qq1 > F0 else F0
    scale2 = qv2 / qq2 if qq2 > F0 else F0
    if scale1 * qv1 >= scale2 * qv2:
        return scale1, scale1 * qv1
    return scale2, scale2 * qv2


@njit(**INNER, error_model="numpy")
def search_quarters(
    x: NDArray[np.float32], w: NDArray[np.float32], largest: np.float32
) -> np.float32:
    """The scale d, of either sign, for -d, 0, d and 2 d."""
    mean = mean_magnitude(x, w)
    sign = F1 if tail_side(x, w, TAIL * mean) >= F0 else -F1
    best, most = better_of(x, w, largest, sign * HALF * largest)
    for i in range(0, QUARTER_STARTS.size, 2):
        unit = sign * mean
        scale, gain = better_of(x, w, QUARTER_STARTS[i] * unit, QUARTER_STARTS[i + 1] * unit)
        if gain > most * BETTER:
            best, most = scale, gain
    for _ in range(REFITS):
        scale, gain = better_of(x, w, best, NEIGHBOUR * best)
        if not gain > most * BETTER:
            break
        best, most = scale, gain
    return np.float32(best)


@njit(**INNER, error_model="numpy")
def write_codes(
    x: NDArray[np.float32], scale: np.float32, top: np.float32, codes: NDArray[np.uint8]
) -> None:
    """Round to -1 .. top, plus 1."""
    inverse = F1 / scale if scale != F0 else F0
    for i in range(x.size):
        codes[i] = np.uint8(np.int32(min(max(np.rint(x[i] * inverse), -F1), top) + F1))


@njit(**INNER)
def pack_trits(codes: NDArray[np.uint8], out: NDArray[np.uint8], at: int) -> None:
    """TQ1_0: 52 bytes."""
    for first, stride, digits, byte in ((0, 32, 5, 0), (160, 16, 5, 32), (240, 4, 4, 48)):
        for i in range(stride):
            number = np.int32(0)
            for digit in range(digits):
                number = number * 3 + np.int32(codes[first + digit * stride + i])
            if digits == 4:
                number *= 3
            out[at + byte + i] = np.uint8((number * 256 + 242) // 243)


@njit(**INNER)
def pack_pairs(codes: NDArray[np.uint8], out: NDArray[np.uint8], at: int) -> None:
    """TQ2_0: 64 bytes of codes that are 32 apart."""
    for half in range(2):
        for i in range(32):
            j = half * 128 + i
            low = codes[j] | codes[j + 32] << np.uint8(2)
            high = codes[j + 64] | codes[j + 96] << np.uint8(2)
            out[at + half * 32 + i] = np.uint8(low | high << np.uint8(4))


@njit(**INNER)
def pack_neighbours(fours: NDArray[np.uint32], out: NDArray[np.uint8], at: int) -> None:
    """Q2_0: a byte of every four codes, which are the bytes of a number."""
    for i in range(fours.size):
        four = fours[i]
        pairs = np.uint32(four | four >> np.uint32(6))
        out[at + i] = np.uint8(pairs | pairs >> np.uint32(12))


@njit(nogil=True, cache=True, error_model="numpy")
def encode_ternary(
    weights: NDArray[np.float32],
    importance: NDArray[np.float32],
    block_bytes: int,
    out: NDArray[np.uint8],
) -> int:
    """TQ1_0 and TQ2_0. Returns fault flags, 0 if all is well."""
    x, w = np.empty(TERNARY, np.float32), np.ones(TERNARY, np.float32)
    bits = x.view(np.uint32)
    codes = np.empty(TERNARY, np.uint8)
    faults = 0
    for block in range(weights.size // TERNARY):
        load(weights, block * TERNARY, x)
        if importance.size:
            load(importance, block * TERNARY % importance.size, w)
        top = top_of(bits)
        half = half_bits(search_ternary(x, w, np.uint32(top).view(np.float32)))
        faults |= faults_of(np.int64(top), half)
        write_codes(x, half_value(half), F1, codes)
        at = block * block_bytes
        if block_bytes == TRIT_BYTES:
            pack_trits(codes, out, at)
        else:
            pack_pairs(codes, out, at)
        put_half(half, out, at + block_bytes - 2)
    return faults


@njit(nogil=True, cache=True, error_model="numpy")
def encode_quarters(
    weights: NDArray[np.float32], importance: NDArray[np.float32], out: NDArray[np.uint8]
) -> int:
    """Q2_0. Returns fault flags, 0 if all is well."""
    x, w = np.empty(QUARTERS, np.float32), np.ones(QUARTERS, np.float32)
    bits = x.view(np.uint32)
    codes = np.empty(QUARTERS, np.uint8)
    fours = codes.view(np.uint32)
    faults = 0
    for block in range(weights.size // QUARTERS):
        load(weights, block * QUARTERS, x)
        if importance.size:
            load(importance, block * QUARTERS % importance.size, w)
        top = top_of(bits)
        half = half_bits(search_quarters(x, w, np.uint32(top).view(np.float32)))
        faults |= faults_of(np.int64(top), half)
        write_codes(x, half_value(half), F2, codes)
        at = block * (2 + QUARTERS // 4)
        put_half(half, out, at)
        pack_neighbours(fours, out, at + 2)
    return faults


@njit(nogil=True, cache=True)
def encode_signs(
    weights: NDArray[np.float32], importance: NDArray[np.float32], out: NDArray[np.uint8]
) -> int:
    """Q1_0. Returns fault flags, 0 if all is well."""
    x, w = np.empty(SIGNS, np.float32), np.ones(SIGNS, np.float32)
    bits = x.view(np.uint32)
    faults = 0
    for block in range(weights.size // SIGNS):
        load(weights, block * SIGNS, x)
        if importance.size:
            load(importance, block * SIGNS % importance.size, w)
        top = top_of(bits)
        if importance.size:
            scale = mean_magnitude(x, w)
        else:
            total = F0
            for i in range(SIGNS):
                total += abs(x[i])
            scale = total / np.float32(SIGNS)
        half = half_bits(scale)
        faults |= faults_of(np.int64(top), half)
        at = block * (2 + SIGNS // 8)
        put_half(half, out, at)
        for i in range(SIGNS // 8):
            byte = 0
            for bit in range(8):
                byte |= (x[8 * i + bit] >= F0) << bit
            out[at + 2 + i] = np.uint8(byte)
    return faults


@njit(nogil=True, cache=True)
def decode_trits(blocks: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
    """TQ1_0. Only the low byte of a multiple counts, also of bytes that no encoder writes."""
    for block in range(out.size // TERNARY):
        at = block * TRIT_BYTES
        sink = block * TERNARY
        scale = get_half(blocks, at + TRIT_BYTES - 2)
        for first, stride, digits, byte in ((0, 32, 5, 0), (160, 16, 5, 32), (240, 4, 4, 48)):
            power = np.uint32(1)
            for digit in range(digits):
                to = sink + first + digit * stride
                for i in range(stride):
                    rest = np.uint32(blocks[at + byte + i]) * power & np.uint32(255)
                    out[to + i] = (
                        np.float32(np.int32(rest * np.uint32(3) >> np.uint32(8)) - 1) * scale
                    )
                power *= np.uint32(3)


@njit(nogil=True, cache=True)
def decode_pairs(blocks: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
    """TQ2_0."""
    for block in range(out.size // TERNARY):
        at = block * PAIR_BYTES
        scale = get_half(blocks, at + PAIR_BYTES - 2)
        for half in range(2):
            for part in range(4):
                to = block * TERNARY + half * 128 + part * 32
                for i in range(32):
                    code = np.int32(blocks[at + half * 32 + i]) >> np.int32(2 * part) & np.int32(3)
                    out[to + i] = np.float32(code - np.int32(1)) * scale


@njit(nogil=True, cache=True)
def decode_quarters(blocks: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
    """Q2_0."""
    for block in range(out.size // QUARTERS):
        at = block * (2 + QUARTERS // 4)
        scale = get_half(blocks, at)
        for i in range(QUARTERS // 4):
            byte = np.int32(blocks[at + 2 + i])
            to = block * QUARTERS + 4 * i
            for part in range(4):
                code = byte >> np.int32(2 * part) & np.int32(3)
                out[to + part] = np.float32(code - np.int32(1)) * scale


@njit(nogil=True, cache=True)
def decode_signs(blocks: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
    """Q1_0."""
    for block in range(out.size // SIGNS):
        at = block * (2 + SIGNS // 8)
        scale = get_half(blocks, at)
        for i in range(SIGNS):
            set_bit = blocks[at + 2 + i // 8] >> (i % 8) & 1
            out[block * SIGNS + i] = scale if set_bit else -scale
