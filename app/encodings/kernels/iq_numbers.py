"""The numbers of the searches of IQ2 and IQ3, which the kernels and the torch versions share."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST_CODE = 15
"""A sub-block's scale is d * unit * (2 c + 1) with a code c of 4 bits."""
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
    share: float
    """Importance that every weight has, beside |x| / rms of the super-block."""
    starts: NDArray[np.float32]
    """Scales that a sub-block tries, (n, 3): the factors, to be added up, of the root mean square
    and of the largest magnitude, both over the largest grid value, and of the best scale so far."""
    changes: NDArray[np.float32]
    """Codes that a sub-block tries: by how much they differ from the nearest."""


def _kind(lanes: int, unit: float, mean: float, *, even: bool) -> Kind:
    starts = [
        (mean, 0, 0),
        (0, 1, 0),
        (0, 0, 0.9),
        (0, 0, 1.1),
    ]
    changes = [0, -1, 1]
    return Kind(lanes, even, unit, 2.0, np.array(starts, np.float32), np.array(changes, np.float32))


KINDS = {
    "IQ2_XXS": _kind(4, 1 / 8, 1.95, even=True),
    "IQ2_XS": _kind(2, 1 / 8, 1.95, even=True),
    "IQ2_S": _kind(2, 1 / 8, 1.95, even=False),
    "IQ3_XXS": _kind(4, 1 / 4, 2.4, even=True),
    "IQ3_S": _kind(4, 1.0, 2.3, even=False),
}
"""By encoding."""
