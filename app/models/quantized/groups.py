"""Integer codes with a scale and a zero point for each group of columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.models.base import Checkpoint
from app.models.quantized.base import damaged

if TYPE_CHECKING:
    from torch import Tensor


def even_groups(columns: int, groups: int) -> Tensor:
    """The group of each column, where all have the same length."""
    import torch

    return torch.arange(columns) // (columns // groups)


def stored_groups(stored: Checkpoint, name: str, groups: int) -> Tensor:
    """The group of each column as a tensor tells it.

    Raises:
        BadModelFile: It tells of groups that there are not.
    """
    import torch

    found = stored.rows(name)[0].to(torch.int64)
    if found.min() < 0 or found.max() >= groups:
        raise damaged(name, "names groups that there are not")
    return found


def scaled_groups(codes: Tensor, zeros: Tensor | int, scales: Tensor, group: Tensor) -> Tensor:
    """(code - zero) * scale.

    Args:
        codes: (rows, columns), integers.
        zeros: (rows, groups), integers, or the same for all.
        scales: (rows, groups), floats.
        group: Each column's group, (columns,).

    Returns:
        (rows, columns), float32.
    """
    import torch

    found = codes.to(torch.float32)
    found -= zeros if isinstance(zeros, int) else zeros.to(torch.float32)[:, group]
    return found.mul_(scales.to(torch.float32)[:, group])
