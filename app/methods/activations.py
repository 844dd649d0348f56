"""What runtimes make of the inputs of matrices that they round as the model runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_LEAST = 1e-12
"""Scales are at least this, so that inputs that are all 0 have one."""


def round_tokens(inputs: Tensor, bits: int = 8) -> Tensor:
    """Inputs (tokens, in) as a runtime with dynamic scales sees them, symmetric, one a token."""
    top = (1 << (bits - 1)) - 1
    scale = inputs.abs().amax(-1, keepdim=True).clamp(min=_LEAST) / top
    return (inputs / scale).round() * scale
