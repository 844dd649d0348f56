"""The numbers that the searches for the K encodings share with their torch versions."""

from __future__ import annotations

TENTHS_AFFINE = (0, *range(-10, 11))
"""Q4_K, Q5_K: tenths of a step by which the span of a grid is stretched, in the order tried.

Where candidates are equally good, the first one stays: the plain grid. One step less than the codes
have holds weights of three values exactly.
"""
TENTHS_SIGNED = (0, *range(-9, 10))
"""Q6_K: tenths of a step by which the extreme moves away from the lowest code."""
CHANGES = (0, -2, -1, 1, 2)
"""Changes that are tried on the nearest stored scale of a sub-block."""

AFFINE_SHARE = 3.0
"""Q4_K, Q5_K: importance that every weight has, beside |x| / rms."""
SIGNED_SHARE = 0.5
"""Q6_K: importance that every weight has, beside x**2 / mean square."""

MARGIN = 1e-6
"""By how much of the values' square sum a candidate must be better: about the rounding error of the
closed form. Without it, noise would choose between grids that are both exact."""
SINGULAR = 1e-6
"""Relative determinant below which all codes are equal, and no line goes through one point."""
TINY = 1e-30
"""Spans below it count as zero; the smallest step of a float16 is 6e-8."""
