"""The numbers of the searches, which the kernels share with their torch versions.

Where candidates are equally good, the first one stays: hence the plain grid is tried first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MARGIN = 1e-6
"""By how much of the values' square sum a candidate must be better: about the rounding error of the
closed form. Without it, noise would choose between grids that are both exact."""
SINGULAR = 1e-6
"""Relative determinant below which all codes are equal, and no line goes through one point."""
TINY = 1e-30
"""Spans below it count as zero; the smallest step of a float16 is 6e-8."""


class AffineGrid(NamedTuple):
    """A search for grids with a scale and a minimum."""

    size: int
    """Weights a sub-block."""
    top: np.float32
    """The largest code."""
    top_scale: np.float32
    """The largest code of a scale or a minimum; 0 where they are floats."""
    tilt: np.float32
    """Importance of a weight: 1 + tilt * |x| / rms."""
    stretches: NDArray[np.float32]
    """Steps by which the span of a grid is stretched, in the order tried. One step less than the
    codes have holds weights of three values exactly."""
    changes: NDArray[np.float32]
    """Changes that are tried on the nearest stored scale of a sub-block."""
    rounds: int
    """How often d and dmin are fitted anew."""


class SignedGrid(NamedTuple):
    """A search for grids with a signed scale."""

    size: int
    """Weights a sub-block."""
    lowest: np.float32
    """The lowest code; the highest is one less without the sign."""
    lowest_scale: np.float32
    """The lowest code of a scale, likewise; 0 where it is a float."""
    tilt: np.float32
    """Importance of a weight: 1 + tilt * x**2 / mean square."""
    places: NDArray[np.float32]
    """Codes, not whole ones, on which the extreme is put, in the order tried."""
    changes: NDArray[np.float32]
    """Changes that are tried on the nearest stored scale of a sub-block."""
    rounds: int
    """How often d is fitted anew."""


def _floats(*numbers: float) -> NDArray[np.float32]:
    return np.array(numbers, np.float32)


def _range(first: float, last: float, step: float) -> list[float]:
    """Both ends included; the plain grid, 0, in front."""
    count = round((last - first) / step)
    return [0.0, *(round(first + i * step, 6) for i in range(count + 1))]


NEIGHBOURS = _floats(0, -1, 1)
NEAR = _floats(0, -2, -1, 1, 2)


def _affine(
    codes: tuple[int, int, int], stretches: list[float], changes: NDArray[np.float32], rounds: int
) -> AffineGrid:
    """`codes`: weights a sub-block, the largest code of a weight, and of a scale.

    The tilt: more costs plain error, less costs error as ggml counts it, and 1 / 3 wins both.
    """
    size, top, top_scale = codes
    floats = np.float32(top), np.float32(top_scale), np.float32(1 / 3)
    return AffineGrid(size, *floats, _floats(*stretches), changes, rounds)


Q2_K = _affine((16, 3, 15), _range(-1, 1, 0.2), NEIGHBOURS, 2)
Q4_K = _affine((32, 15, 63), _range(-3, 1, 0.2), NEAR, 0)
Q5_K = _affine((32, 31, 63), _range(-3, 1, 0.2), NEAR, 0)
Q4_1 = _affine((32, 15, 0), _range(-3, 1, 0.2), NEAR, 0)
Q5_1 = _affine((32, 31, 0), _range(-3, 1, 0.2), NEAR, 0)


def _signed(
    codes: tuple[int, int, int],
    tilt: float,
    places: list[float],
    changes: NDArray[np.float32],
    rounds: int,
) -> SignedGrid:
    """`codes`: weights a sub-block, the lowest code of a weight, and of a scale."""
    size, lowest, lowest_scale = codes
    floats = np.float32(lowest), np.float32(lowest_scale), np.float32(tilt)
    return SignedGrid(size, *floats, _floats(*places), changes, rounds)


def _ends(lowest: int, inwards: list[float]) -> list[float]:
    """Places by their distance from the lowest code, and as far from the highest."""
    return [lowest + way for way in inwards] + [-lowest - 1 - way for way in inwards[1:]]


# Signed encodings of super-blocks search differently without importances and with them. Large
# weights count less then: so they do in ggml. And its plain search for Q3_K is short, ours too.
Q3_K = _signed((16, -4, -32), 0.4, [-4, -3.4, 3], NEIGHBOURS, 0)
Q3_K_WEIGHED = _signed((16, -4, -32), 0.05, _ends(-4, _range(-1.5, 0.9, 0.3)), NEIGHBOURS, 1)
Q6_K = _signed((16, -32, -128), 1, _ends(-32, _range(-1, 7, 1)), NEAR, 0)
Q6_K_WEIGHED = _signed((16, -32, -128), 0.1, _ends(-32, _range(-1, 7, 1)), NEAR, 0)
Q4_0 = _signed((32, -8, 0), 0.05, _ends(-8, _range(-1.5, 0.9, 0.3)), NEAR, 0)
Q5_0 = _signed((32, -16, 0), 0.05, _ends(-16, _range(-1.2, 3.6, 0.6)), NEAR, 0)
