"""GPTQ: rounding whose error is passed on, on grids that the encoding itself finds.

Its search finds the grids, with the second moment's diagonal as importance; then columns are
rounded in the order of falling importance. As grids are those of unsorted columns ("static
groups"), the result is stored like any other. So it works on the grids of GGUF's blocks as well
as on those of `Affine`: the same bytes a weight, the same speed, less error.

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
from app.methods.base import Method, Statistics, some_rows
from app.methods.feedback import Feedback
from app.methods.grid import grids_of, has_grids
from app.methods.options import option

if TYPE_CHECKING:
    from torch import Tensor


_SHORT = 32
"""Columns of a span that is called short."""


@dataclass(frozen=True, slots=True)
class Gptq(Method):
    """The least error at 2 to 4 bits; needs to see the model at work."""

    name: ClassVar[str] = "gptq"
    needs: ClassVar[frozenset[str]] = frozenset({"second_moment"})
    damping: float = option(
        0.01,
        "What is added to the diagonal of the second moment, as a fraction of its mean.",
        least=1e-6,
        most=10,
    )
    refit: bool | None = option(
        None,
        "Whether the grids of a span are found when its turn comes, and not all of them "
        "beforehand; automatic: where spans are short.",
    )
    # Refitted grids suit the corrected weights, but columns of different spans cannot change
    # places; where spans are short, that was measured to be better.

    quantized_inputs: bool = option(
        True,
        "Whether a layer is fitted to what the quantized layers before it compute, not to what "
        "the original ones do; takes a third more time.",
    )

    @property
    @override
    def sees_quantized(self) -> bool:
        return self.quantized_inputs

    @override
    def fits(self, encoding: Encoding) -> bool:
        return has_grids(encoding)

    @override
    def choose(
        self, weight: Tensor, encoding: Encoding, statistics: Statistics
    ) -> dict[str, Tensor]:
        moment = statistics.second_moment
        assert moment is not None
        importance = moment.diagonal().contiguous()
        parts = self._rounded(weight, encoding, moment)
        matrix = weight.reshape(-1, weight.shape[-1])
        rounded = some_rows(encoding.decode(parts, tuple(weight.shape)).view_as(matrix))
        rows = some_rows(matrix)
        nearest = encoding.rounded(rows, importance)
        if _loss(rows - nearest, moment) < _loss(rows - rounded, moment):
            return encoding.encode(weight, importance)  # grids saturate, or hold the weights
        return parts

    def _rounded(self, weight: Tensor, encoding: Encoding, moment: Tensor) -> dict[str, Tensor]:
        matrix = weight.reshape(-1, weight.shape[-1])
        grids = grids_of(encoding, matrix, moment.diagonal().contiguous())
        refit = grids.span <= _SHORT if self.refit is None else self.refit
        span = grids.span if refit else len(moment)
        feedback = _LATEST.of(moment, self.damping, span)
        parts = grids.store(feedback.round(matrix, grids, span))
        promised = encoding.layout(tuple(weight.shape))
        return {part.name: parts[part.name].view(part.shape) for part in promised}


def _loss(error: Tensor, moment: Tensor) -> float:
    """tr(E H E^T)."""
    return float(((error @ moment) * error).sum())


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
