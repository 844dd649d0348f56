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


def scale_halves(values: Tensor) -> Tensor:
    """float16 super-scales: the nearest, but away from zero below 2**-14."""
    import torch

    halves = values.half()
    toward_zero = (halves.abs() < 2**-14) & (halves.float().abs() < values.abs())
    return (halves.view(torch.int16) + toward_zero.to(torch.int16)).view(torch.float16)
