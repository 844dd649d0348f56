"""The values that codes of uneven or few levels stand for, and what searches share with torch."""

from __future__ import annotations

from itertools import pairwise

IQ4 = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)
"""IQ4_NL, IQ4_XS: the values of the codes; denser near zero, where most weights are."""
IQ4_MIDDLES = tuple((low + high) / 2 for low, high in pairwise(IQ4))
"""A value goes to the code above from here on."""

IQ4_UNIT = 128
"""What values are divided by for `IQ4_CODE`."""
IQ4_CODE = (7.87844, 10.9174, 0.0319647, -5.75363, -0.185659, 2.81289)
"""Coefficients, lowest power first, of the polynomial that rounds to the nearest code.

The minimax fit of degree 5 to the middles. It errs close to them only, which adds 0.5 % to the
square error of evenly spread values, and takes half the operations of 15 comparisons.
"""
IQ4_VALUE = (-126.567, 24.1738, -1.37193, 0.0310864, 0.00158604)
"""Coefficients of the polynomial that rounds to the value of each code, exactly."""

IQ4_STRETCHES = (-127, -141, -135, -132, -122, -112, -104, 92, 111, 115, 124)
"""Values that the extreme of a sub-block is put on, in the order tried. The codebook is not
symmetric: the extreme may be at its long end or at its short one."""
IQ4_CHANGES = (0, -1, 1)
"""IQ4_XS: changes that are tried on the nearest stored scale of a sub-block."""
IQ4_SHARE = 6.0
"""Importance that every weight has, beside x**2 / mean square of its sub-block."""

FP4 = (0, 1, 2, 3, 4, 6, 8, 12)
"""MXFP4, NVFP4: twice the magnitudes of the codes 0 .. 7 (E2M1); from 8 on they are negative."""
FP4_MIDDLES = tuple((low + high) / 2 for low, high in pairwise(FP4))
"""A magnitude goes to the code above only beyond these, as in ggml."""

E8M0_HALVES = tuple(2.0 ** (byte - 128) for byte in range(256))
"""MXFP4: half the value of each scale byte, as the grid's values are doubled."""
E8M0_LAST = 252
"""The largest byte that is written: 12 times the next half is infinite in float32."""
E8M0_CHANGES = (0, -1, -2)
"""Scales that are tried, from the least that clips nothing. Above it there is nothing to gain:
without what would be clipped, the wider grid is a part of the finer one."""

UE4M3_HALVES = (
    *(mantissa * 2.0**-10 for mantissa in range(8)),
    *(
        (8 + mantissa) * 2.0 ** (exponent - 11)
        for exponent in range(1, 16)
        for mantissa in range(8)
    ),
)
"""NVFP4: half the value of each scale byte: 4 bits of exponent (bias 7), 3 bits of mantissa."""
UE4M3_LAST = 126
"""The largest byte that is written: 127 is not a number, and read as 0."""
UE4M3_CHANGES = (0, *range(-3, 0), *range(1, 7))
"""Up to the scale that puts the largest weight on 4 instead of 6, where the grid is denser."""

TERNARY_STARTS = (0.7, 0.9, 1.2, 1.7)
"""TQ1_0, TQ2_0: scales to start from, in mean magnitudes, beside the largest magnitude."""
QUARTER_STARTS = (0.85, 1.2)
"""Q2_0: scales to start from, in mean magnitudes, beside the largest magnitude and its half."""
TAIL = 1.5
"""Q2_0: mean magnitudes from where on weights tell which side needs the level of two scales."""
NEIGHBOUR = 0.95
"""Q2_0: the share of the best scale that is tried with it."""
REFITS = 3
"""How often, at most, the best scale is refitted."""
REFIT_GAIN = 2e-4
"""By which share of the block's square sum, about, a refit must be better to be kept."""
