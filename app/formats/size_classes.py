"""The size classes that lists show formats under, in their order."""

from __future__ import annotations

NEAR, USUAL, SMALL, TINY, EXPERIMENTS = SIZE_CLASSES = (
    "near the original",
    "the usual choice",
    "small",
    "very small",
    "for experiments",
)


def size_class(bits: int) -> str:
    """Of formats whose weights have about so many bits."""
    if bits >= 6:
        return NEAR
    return {2: TINY, 3: SMALL}.get(bits, USUAL)
