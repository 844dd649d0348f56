"""float16 numbers and the bytes that hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def to_bytes(halves: Tensor) -> Tensor:
    """(n, k) float16 to (n, 2 k) bytes."""
    import torch

    return halves.contiguous().view(torch.uint8)


def from_bytes(source: Tensor) -> Tensor:
    """(n, 2 k) bytes to (n, k) float32."""
    import torch

    return source.contiguous().view(torch.float16).float()


def step_halves(largest: Tensor, codes: int) -> Tensor:
    """The float16 of which `largest` is `codes` times; see `kernels.half.step_bits`."""
    import torch

    nearest = (largest / codes).half()
    missed = largest.abs() - (nearest.float() * codes).abs()
    above = (nearest.view(torch.int16) + 1).view(torch.float16)
    step = above.float()
    rest = (largest - step * (largest / step).round()).abs()
    return torch.where((missed > 0) & (rest <= missed), above, nearest)
