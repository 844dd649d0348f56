"""Sees what is multiplied with which weight, whatever module does it.

Models multiply in many ways: in linear modules, in convolutions of width one, expert by expert
with slices of one large tensor, or with all experts at once. All of them come down to a handful
of functions of torch, and a weight is known by its place in memory; so the functions are watched
instead of the modules, and no family of models needs anything of its own.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from typing_extensions import override

if TYPE_CHECKING:
    from torch import Tensor

Report = Callable[[str, int, "Tensor"], None]
"""Is given the weight's name, which of its matrices it is, and its inputs, (tokens, in)."""

#: Where the factors of a product are among the arguments of torch's functions.
_FACTORS = {
    "linear": (0, 1),
    "matmul": (0, 1),
    "__matmul__": (0, 1),
    "mm": (0, 1),
    "bmm": (0, 1),
    "addmm": (1, 2),
    "baddbmm": (1, 2),
}


class _Span:
    """A weight's place in memory, in bytes."""

    def __init__(self, name: str, weight: Tensor) -> None:
        self.name = name
        self.start = weight.data_ptr()
        self.stop = self.start + weight.nbytes
        matrices = len(weight) if weight.ndim > 2 else 1
        self._matrix_bytes = weight.nbytes // matrices

    def first_matrix(self, view: Tensor) -> int:
        """Which matrix `view` begins with."""
        return (view.data_ptr() - self.start) // self._matrix_bytes


class _Places:
    """Weights by their places."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        matrices = {name: tensor for name, tensor in weights.items() if tensor.ndim > 1}
        spans = [_Span(name, tensor) for name, tensor in matrices.items() if tensor.nbytes]
        self._spans = sorted(spans, key=lambda span: span.start)
        self._starts = [span.start for span in self._spans]

    def find(self, tensor: Any) -> _Span | None:
        """The weight that `tensor` is, or is a part or another view of."""
        import torch

        if not isinstance(tensor, torch.Tensor) or tensor.ndim < 2:
            return None
        place = bisect_right(self._starts, tensor.data_ptr()) - 1
        if place < 0 or tensor.data_ptr() >= self._spans[place].stop:
            return None
        return self._spans[place]


def watching(weights: Mapping[str, Tensor], report: Report) -> Any:
    """A context in which `report` is told of every product with one of `weights`."""
    from torch.overrides import TorchFunctionMode

    places = _Places(weights)

    class Watch(TorchFunctionMode):
        @override
        def __torch_function__(
            self,
            func: Callable[..., Any],
            types: Sequence[type],
            args: Sequence[Any] = (),
            kwargs: Mapping[str, Any] | None = None,
        ) -> Any:
            at = _FACTORS.get(getattr(func, "__name__", ""))
            if at is not None and len(args) > at[1]:
                _look(places, func.__name__, (args[at[0]], args[at[1]]), report)
            return func(*args, **(kwargs or {}))

    return Watch()


def _look(places: _Places, function: str, factors: tuple[Any, Any], report: Report) -> None:
    """Report a product if one of its factors is a weight."""
    left, right = factors
    span = places.find(right)
    if span is not None:
        _report(span, right if function != "linear" else right.mT, left, report)
        return
    span = places.find(left)
    if span is not None and function != "linear":
        _report(span, left.mT, right.mT, report)


def _report(span: _Span, weight: Tensor, inputs: Tensor, report: Report) -> None:
    """Report `inputs` @ `weight`, (..., in, out).

    A stack of matrices is multiplied with as many inputs; an expert that a token was not sent to
    is given zeros, which are no token of it.
    """
    first, wide = span.first_matrix(weight), weight.shape[-2]
    if weight.ndim == 2:
        report(span.name, first, inputs.reshape(-1, wide))
        return
    count = len(weight.flatten(0, -3))
    each = inputs.expand(*weight.shape[:-2], *inputs.shape[-2:]).reshape(count, -1, wide)
    for matrix, rows in enumerate(each):
        report(span.name, first + matrix, rows[rows.any(-1)])
