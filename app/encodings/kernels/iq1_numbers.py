"""The numbers of the search of IQ1_S and IQ1_M, which the kernels share with the torch version."""

from __future__ import annotations

SCALES = (0.9, 1.1, 1.3, 1.5, 1.7, 2.0)
"""Scales that are tried, in root mean squares."""
REFITS = 1
"""How often the best scale is refitted."""
BETTER = 1 + 1e-5
"""By how much a scale must be better than the best one so far. Constant weights lie exactly on two
grids, of either delta; noise must not choose different ones for neighbours."""
CHANGES = (0, -1, 1)
"""Changes that are tried on the nearest stored scale of a sub-block."""
TILT = 0.5
"""Importance of a weight, beside that of its column: 1 + TILT * |x| / rms."""
