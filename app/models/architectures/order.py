"""The order of rows within a head, for rotary embedding.

Hugging Face rotates element j together with j + head/2 (halves); llama.cpp, for some
families, 2j together with 2j + 1 (neighbours). With a head of 6 rows:

    halves      0 1 2 3 4 5
    neighbours  0 3 1 4 2 5
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def halves_to_neighbours(weight: Tensor, head: int) -> Tensor:
    """Reorder the rows (a vector's elements) of whole heads from Hugging Face to llama.cpp."""
    split = weight.reshape(-1, 2, head // 2, *weight.shape[1:])
    return split.transpose(1, 2).reshape(weight.shape)


def neighbours_to_halves(weight: Tensor, head: int) -> Tensor:
    """Inverse of `halves_to_neighbours`."""
    split = weight.reshape(-1, head // 2, 2, *weight.shape[1:])
    return split.transpose(1, 2).reshape(weight.shape)
