"""The memory in which weights are read, quantized and written, beside the program itself."""

from __future__ import annotations

from app.advisor.memory import Span
from app.core.plan import Plan
from app.encodings import find_encoding
from app.encodings.folder import FolderEncoding
from app.formats.slices import SLICE_WEIGHTS, WEIGHTS_AT_ONCE

FLOAT = 4
"""Bytes of a number that is computed."""
#: Of a slice as float32, for each thread: what is read, computed and written at the least, and
#: with all that allocators keep. 8 threads were measured at 1.3 GB in all.
_LEAST_COPIES, _COPIES = 3, 14
#: The same of matrices that are quantized as a whole: two of 59 million weights at a time were
#: measured at 0.6 to 1.1 GB.
_LEAST_WHOLE, _WHOLE = 1.5, 3
#: The same of matrices whose codes are chosen by what the model computes.
_LEAST_FITTED, _FITTED = 4, 8
_ALIKE = 2  # of the largest matrices, so many have the same inputs, and are fitted at a time


def quantizing_memory(plan: Plan, threads: int) -> Span:
    """Of slices and matrices that are rounded by themselves."""
    largest, together = _whole_matrices(plan, threads)
    return _slices(plan, threads) | _times(largest * _LEAST_WHOLE, together * _WHOLE)


def fitting_memory(plan: Plan, threads: int) -> Span:
    """Of slices and matrices whose codes are fitted, beside what is known of their inputs."""
    largest, together = _whole_matrices(plan, min(threads, _ALIKE))
    return _slices(plan, threads) | _times(largest * _LEAST_FITTED, together * _FITTED)


def card_memory(plan: Plan) -> int:
    """Of a graphics card that quantizes."""
    largest, _ = _whole_matrices(plan, 1)
    return round(FLOAT * largest * _WHOLE)


def _slices(plan: Plan, threads: int) -> Span:
    rows = [tensor.shape[-1] for tensor in plan.tensors if tensor.shape]
    largest = max(tensor.weights for tensor in plan.tensors)
    weights = threads * min(largest, max(SLICE_WEIGHTS, *rows))
    return _times(weights * _LEAST_COPIES, weights * _COPIES)


def _whole_matrices(plan: Plan, threads: int) -> tuple[int, int]:
    """Weights of the largest matrix that cannot be cut, and of as many as are under way."""
    largest = max(
        (
            tensor.weights
            for tensor in plan.tensors
            if isinstance(find_encoding(tensor.encoding), FolderEncoding)
        ),
        default=0,
    )
    return largest, max(largest, min(threads * largest, WEIGHTS_AT_ONCE))


def _times(least: float, most: float) -> Span:
    """Of so many numbers that are computed."""
    return Span(round(FLOAT * least), round(FLOAT * most))
