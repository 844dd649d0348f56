"""Round to nearest: the baseline every other method has to beat.

The encoding's own search finds the scales that bring each block nearest to its
weights, weighing errors by the importance of their columns where it is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from app.encodings.base import Encoding
from app.methods.base import Method, Statistics

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Nearest(Method):
    """Fast and without data; good from 5 bits up."""

    name: ClassVar[str] = "nearest"

    @override
    def fits(self, encoding: Encoding) -> bool:
        return True

    @override
    def choose(
        self, weight: Tensor, encoding: Encoding, statistics: Statistics
    ) -> dict[str, Tensor]:
        return encoding.encode(weight, statistics.importance)
