"""The largest weight, which must be a number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.encodings.base import NotFinite

if TYPE_CHECKING:
    from torch import Tensor


def largest_of(weight: Tensor) -> float:
    """The largest magnitude; 0 where there are no weights.

    Raises:
        NotFinite: A weight is NaN or infinite.
    """
    import torch

    if not weight.numel():
        return 0.0
    largest = max(abs(float(extreme)) for extreme in torch.aminmax(weight))
    if not largest < torch.inf:  # NaN is not below anything
        raise NotFinite
    return largest
