"""The bytes of IQ2 and IQ3 blocks of 256 weights.

All start with the float16 d. Then, low bits first:

=======  ==========================================================================================
IQ2_XXS  8 times: 4 points of 8 bits; 32 bits: 4 times 7 signs, code
IQ2_XS   32 times 16 bits: point of 9, 7 signs; 16 codes of 4 bits
IQ2_S    32 points' low 8 bits; 32 times 8 signs; 32 points' high 2 bits; 16 codes of 4 bits
IQ3_XXS  64 points of 8 bits; 8 times 32 bits: 4 times 7 signs, code
IQ3_S    64 points' low 8 bits; 64 points' high bits; 32 times 8 signs; 8 codes of 4 bits
=======  ==========================================================================================

With 7 signs, the eighth is such that the number of minus signs is even.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from app.encodings.kernels.half import faults_of, get_half, put_half
from app.encodings.kernels.iq_numbers import Kind
from app.encodings.kernels.iq_search import SUPER, new_room, search_block
from app.encodings.kernels.lattice import LANES, Lattice, part

if TYPE_CHECKING:
    from numpy.typing import NDArray


PARITIES = 0x6996
"""Bit n is set where n of 4 bits has an odd number of ones."""


@part
def put_word(word: int, size: int, out: NDArray[np.uint8], at: int) -> None:
    """`size` bytes, little endian."""
    for i in range(size):
        out[at + i] = np.uint8((word >> (8 * i)) & 255)


@part
def get_word(size: int, source: NDArray[np.uint8], at: int) -> np.int64:
    """Inverse of `put_word`."""
    word = np.int64(0)
    for i in range(size):
        word |= np.int64(source[at + i]) << (8 * i)
    return word


@part
def pack_words(
    codes: NDArray[np.int32],
    signs: NDArray[np.int32],
    points: NDArray[np.int32],
    out: NDArray[np.uint8],
) -> None:
    """The XXS types: words of signs and a code, between the points (IQ2) or behind them."""
    between = points.size == LANES
    for i in range(points.size):
        out[2 + (i + i // 4 * 4 if between else i)] = points[i]
    for j in range(8):
        word = np.int64(codes[j]) << 28
        for k in range(4):
            word |= np.int64(signs[4 * j + k] & 127) << (7 * k)
        put_word(word, 4, out, 6 + 8 * j if between else 66 + 4 * j)


@part
def unpack_words(
    source: NDArray[np.uint8],
    codes: NDArray[np.int32],
    signs: NDArray[np.int32],
    points: NDArray[np.int32],
) -> None:
    """Inverse of `pack_words`."""
    between = points.size == LANES
    for i in range(points.size):
        points[i] = source[2 + (i + i // 4 * 4 if between else i)]
    for j in range(8):
        word = get_word(4, source, 6 + 8 * j if between else 66 + 4 * j)
        codes[j] = word >> 28
        for k in range(4):
            signs[4 * j + k] = (word >> (7 * k)) & 127


@part
def pack_pairs(
    codes: NDArray[np.int32],
    signs: NDArray[np.int32],
    points: NDArray[np.int32],
    out: NDArray[np.uint8],
) -> None:
    """IQ2_XS: a point and its signs are 16 bits."""
    for k in range(LANES):
        put_word(points[k] | (signs[k] & 127) << 9, 2, out, 2 + 2 * k)
    for j in range(8):
        out[66 + j] = codes[2 * j] | codes[2 * j + 1] << 4


@part
def unpack_pairs(
    source: NDArray[np.uint8],
    codes: NDArray[np.int32],
    signs: NDArray[np.int32],
    points: NDArray[np.int32],
) -> None:
    """Inverse of `pack_pairs`."""
    for k in range(LANES):
        word = get_word(2, source, 2 + 2 * k)
        points[k], signs[k] = word & 511, word >> 9
    for j in range(8):
        codes[2 * j], codes[2 * j + 1] = source[66 + j] & 15, source[66 + j] >> 4


@part
def places(points: int) -> tuple[int, int, int, int]:
    """Of the S types: where high bits and signs start, high bits of a point, where codes start."""
    if points == LANES:
        return 66, 34, 2, 74
    return 66, 74, 1, 106


@part
def pack_planes(
    codes: NDArray[np.int32],
    signs: NDArray[np.int32],
    points: NDArray[np.int32],
    out: NDArray[np.uint8],
) -> None:
    """The S types: low bits, high bits, signs and codes apart."""
    highs, first_sign, bits, first_code = places(points.size)
    for k in range(LANES):
        out[first_sign + k] = signs[k]
    for i in range(8):
        out[highs + i] = 0
    for i in range(points.size):
        out[2 + i] = points[i] & 255
        out[highs + i * bits // 8] |= (points[i] >> 8) << (i * bits % 8)
    for j in range(codes.size // 2):
        out[first_code + j] = codes[2 * j] | codes[2 * j + 1] << 4


@part
def unpack_planes(
    source: NDArray[np.uint8],
    codes: NDArray[np.int32],
    signs: NDArray[np.int32],
    points: NDArray[np.int32],
) -> None:
    """Inverse of `pack_planes`."""
    highs, first_sign, bits, first_code = places(points.size)
    for k in range(LANES):
        signs[k] = source[first_sign + k]
    for i in range(points.size):
        high = np.int64(source[highs + i * bits // 8]) >> (i * bits % 8) & ((1 << bits) - 1)
        points[i] = np.int64(source[2 + i]) | high << 8
    for j in range(codes.size // 2):
        byte = source[first_code + j]
        codes[2 * j], codes[2 * j + 1] = byte & 15, byte >> 4


@njit(nogil=True, cache=True, error_model="numpy")
def encode(
    weights: NDArray[np.float32],
    importance: NDArray[np.float32],
    kind: Kind,
    grid: Lattice,
    out: NDArray[np.uint8],
) -> int:
    """Encode whole super-blocks. Returns fault flags, 0 if all is well."""
    blocks = weights.size // SUPER
    size = out.size // blocks
    room = new_room(4 // grid.coordinates)
    _, scales, points = room
    codes = np.empty(LANES // kind.lanes, np.int32)
    faults = 0
    for block in range(blocks):
        some = weights[block * SUPER : (block + 1) * SUPER]
        first = block * SUPER % importance.size if importance.size else 0
        top, half = search_block(some, importance[first:], kind, grid, room)
        faults |= faults_of(top, half)
        for j in range(codes.size):
            codes[j] = np.int32(scales.best[j * kind.lanes]) >> 1
        sink = out[block * size : (block + 1) * size]
        put_half(half, sink, 0)
        if not kind.even:
            pack_planes(codes, scales.signs, points, sink)
        elif kind.lanes == 4:
            pack_words(codes, scales.signs, points, sink)
        else:
            pack_pairs(codes, scales.signs, points, sink)
    return faults


@njit(nogil=True, cache=True)
def decode(blocks: NDArray[np.uint8], kind: Kind, grid: Lattice, out: NDArray[np.float32]) -> None:
    """Inverse of `encode`."""
    count = out.size // SUPER
    size = blocks.size // max(count, 1)
    points = np.empty(LANES * 4 // grid.coordinates, np.int32)
    codes = np.empty(LANES // kind.lanes, np.int32)
    signs = np.empty(LANES, np.int32)
    width = 2 * grid.coordinates
    for block in range(count):
        source = blocks[block * size : (block + 1) * size]
        if not kind.even:
            unpack_planes(source, codes, signs, points)
        elif kind.lanes == 4:
            unpack_words(source, codes, signs, points)
        else:
            unpack_pairs(source, codes, signs, points)
        d = get_half(source, 0)
        for k in range(LANES):
            # Powers of two apart: exact in this order, too, as in ggml's (d * (c + 0.5)) * 0.25.
            scale = d * np.float32(2 * codes[k // kind.lanes] + 1) * np.float32(kind.unit)
            sign = signs[k]
            if kind.even:
                fours = (sign ^ sign >> 4) & 15
                sign |= (PARITIES >> fours & 1) << 7
            for i in range(8):
                at = 8 * k + i
                value = scale * grid.floats[points[at // width] * width + at % width]
                out[block * SUPER + at] = -value if sign >> i & 1 else value
