"""The numbers of the searches of IQ2 and IQ3, which the kernels and the torch versions share."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST_CODE = 15
"""A sub-block's scale is d * unit * (2 c + 1) with a code c of 4 bits."""
SHARE = 2.0
"""Importance that every weight has, beside |x| / rms of the super-block. With more, plain error
falls further, and error weighted by magnitude rises to ggml's."""
STEPS = 12
"""Values of d that are tried,"""
FEWEST, MOST = 26.0, 38.0
"""from such that the largest scale wanted is 26 times d * unit, to 38 times: out of reach."""


class Kind(NamedTuple):
    """What the types differ in, beside the grid."""

    lanes: int
    """Groups of eight weights a sub-block: 2 or 4."""
    even: bool
    """Whether the number of minus signs in a group of eight is even."""
    unit: float
    """What d * (2 c + 1) is multiplied by."""
    starts: NDArray[np.float32]
    """Scales that a sub-block tries, (n, 2): factors, to be added up, of its root mean square and
    of its largest magnitude, both over the largest of the values."""
    changes: NDArray[np.float32]
    """Codes that a sub-block tries: the nearest, and how far beyond it towards the wish."""


def _table(*rows: tuple[float, ...]) -> NDArray[np.float32]:
    return np.array(rows, np.float32)


# Sub-blocks with an outlier want a scale that reaches it, others a smaller one.
_IQ2_STARTS = _table((1.65, 0), (2.05, 0), (0, 0.8), (0, 1))
_IQ3_STARTS = _table((2, 0), (2.45, 0), (0, 0.8), (0, 0.95), (0, 1.05))
_NEAREST, _NEAREST_TWO = np.array([0], np.float32), np.array([0, 1], np.float32)

KINDS = {
    "IQ2_XXS": Kind(4, True, 1 / 8, _IQ2_STARTS, _NEAREST),
    "IQ2_XS": Kind(2, True, 1 / 8, _IQ2_STARTS, _NEAREST),
    "IQ2_S": Kind(2, False, 1 / 8, _IQ2_STARTS, _NEAREST),
    "IQ3_XXS": Kind(4, True, 1 / 4, _IQ3_STARTS, _NEAREST_TWO),
    "IQ3_S": Kind(4, False, 1.0, _IQ3_STARTS, _NEAREST_TWO),
}
"""By encoding."""
