"""GPTQ: rounding whose error is passed on, on grids that are chosen beforehand.

The encoding's own search finds the grid of every group from the whole weights, with the
second moment's diagonal as importance; then columns are rounded in the order of falling
importance. As the grids are those of the unsorted columns ("static groups"), the result is
stored like any other. It works on the grids of GGUF's blocks as well as on those of `Affine`:
same bytes, same speed, less error.

Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained
Transformers", ICLR 2023, arXiv:2210.17323, sections 3.3 and 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, ClassVar
from weakref import ReferenceType, ref

from typing_extensions import override

from app.encodings.base import Encoding
from app.methods.base import Method, Statistics
from app.methods.feedback import Feedback
from app.methods.grid import grids_of, has_grids

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Gptq(Method):
    """The least error at 2 to 4 bits; needs to see the model at work."""

    name: ClassVar[str] = "gptq"
    needs: ClassVar[frozenset[str]] = frozenset({"second_moment"})
    damping: float = 0.01
    """What is added to the diagonal of the second moment, as a fraction of its mean."""
    refit: bool = True
    """Whether grids are found when their turn comes; else all of them beforehand."""

    @override
    def fits(self, encoding: Encoding) -> bool:
        return has_grids(encoding)

    @override
    def choose(
        self, weight: Tensor, encoding: Encoding, statistics: Statistics
    ) -> dict[str, Tensor]:
        moment = statistics.second_moment
        assert moment is not None
        matrix = weight.reshape(-1, weight.shape[-1])
        grids = grids_of(encoding, matrix, moment.diagonal().contiguous())
        span = grids.span if self.refit else len(moment)
        feedback = _LATEST.of(moment, self.damping, span)
        parts = grids.store(feedback.round(matrix, grids, span))
        promised = encoding.layout(tuple(weight.shape))
        return {part.name: parts[part.name].view(part.shape) for part in promised}


class _Latest:
    """The factors of the second moment that was used last.

    Matrices with the same inputs, and slices of one, come one after the other. The factors are
    let go together with the second moment. Thread-safe.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._moment: ReferenceType[Tensor] | None = None
        self._how: tuple[float, int] | None = None
        self._found: Feedback | None = None

    def of(self, moment: Tensor, damping: float, span: int) -> Feedback:
        with self._lock:
            known = self._moment() if self._moment else None
            if known is not moment or self._how != (damping, span) or self._found is None:
                self._found = None  # makes room first
                self._found = Feedback.of(moment, damping, span)
                self._moment, self._how = ref(moment, self._forget), (damping, span)
            return self._found

    def _forget(self, gone: ReferenceType[Tensor]) -> None:
        if self._moment is gone:
            self._found = None


_LATEST = _Latest()
