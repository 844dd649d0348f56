"""Half precision by bit arithmetic: numba has no float16 on the CPU.

IEEE 754 binary16: 1 sign, 5 exponent (bias 15) and 10 mantissa bits; binary32: 1, 8 (bias 127), 23.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from app.encodings.kernels import NOT_FINITE, TOO_LARGE

if TYPE_CHECKING:
    from numpy.typing import NDArray

INFINITE = 0x7F800000
"""Bits of infinity in float32; magnitudes from here on are infinite or NaN."""
MAGNITUDE = np.uint32(0x7FFFFFFF)
"""Mask of all bits but the sign."""
HALF_INFINITE = 0x7C00


@njit(nogil=True)
def half_bits(value: np.float32) -> np.int64:
    """The nearest float16, ties to even, as bits; beyond the range an infinity."""
    bits = np.int64(np.float32(value).view(np.uint32))
    sign = (bits >> 16) & 0x8000
    bits &= 0x7FFFFFFF
    if bits > INFINITE:
        return np.int64(sign | 0x7E00)
    if bits >= 0x47800000:  # 65536 and above
        return np.int64(sign | HALF_INFINITE)
    if bits < 0x38800000:  # below 2**-14: at 0.5, float32's spacing is the subnormals'
        shifted = np.uint32(bits).view(np.float32) + np.float32(0.5)
        return sign | (np.int64(np.float32(shifted).view(np.uint32)) - 0x3F000000)
    # Rebias the exponent; add half a spacing less one, plus one if the kept mantissa is odd.
    return sign | ((bits - 0x38000000 + 0xFFF + ((bits >> 13) & 1)) >> 13)


@njit(nogil=True)
def half_value(bits: np.int64) -> np.float32:
    """The float32 of a float16's bits."""
    exponent = bits & 0x7C00
    wide = (bits & 0x7FFF) << 13
    if exponent == HALF_INFINITE:
        wide += 0x70000000
    elif exponent == 0:  # subnormal: place it on 2**-14 and take that away again
        small = np.uint32(wide + 0x38800000).view(np.float32) - np.float32(2**-14)
        wide = np.int64(np.float32(small).view(np.uint32))
    else:
        wide += 0x38000000
    return np.float32(np.uint32(wide | ((bits & 0x8000) << 16)).view(np.float32))


@njit(nogil=True, error_model="numpy")
def step_bits(largest: np.float32, codes: np.float32) -> np.int64:
    """The float16 of which `largest` is `codes` times (or a little fewer), as bits.

    That is the nearest one to the quotient. But below 2**-14 float16 has few digits left, down to
    none: where the nearest is too small by so much that `codes` times it misses `largest` further
    than a whole number of the next one does, it is that.
    """
    nearest: np.int64 = half_bits(largest / codes)
    missed = abs(largest) - abs(half_value(nearest) * codes)
    if missed <= 0:
        return nearest
    above = half_value(nearest + 1)
    rest = abs(largest - above * np.rint(largest / above))
    return np.int64(nearest + 1) if rest <= missed else nearest


@njit(nogil=True, inline="always")
def put_half(bits: np.int64, out: NDArray[np.uint8], at: int) -> None:
    """Two bytes, little endian."""
    out[at] = bits & 255
    out[at + 1] = (bits >> 8) & 255


@njit(nogil=True, inline="always")
def get_half(source: NDArray[np.uint8], at: int) -> np.float32:
    """The value of two bytes."""
    value: np.float32 = half_value(np.int64(source[at]) | np.int64(source[at + 1]) << 8)
    return value


@njit(nogil=True)
def faults_of(top: np.int64, half: np.int64) -> int:
    """Flags for the largest magnitude bits of some weights and the bits of their float16 scale."""
    if top >= INFINITE:
        return NOT_FINITE
    return TOO_LARGE if half & 0x7FFF >= HALF_INFINITE else 0
