"""Check a written file: is it what was planned, and how far is each tensor from its source?

The file is read back from disk and decoded as a runtime would; what it is compared with is
converted from the checkpoint anew. Slices of rows keep the memory bounded and the threads busy.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from app.core.errors import BadModelFile
from app.core.events import Progress
from app.core.plan import Plan, PlannedFile, PlannedTensor
from app.core.report import TensorResult
from app.formats.base import Conversion
from app.formats.slices import Slice, cut, work_on
from app.models.base import Checkpoint

if TYPE_CHECKING:
    from torch import Tensor

_AGAIN = "Run the job again. If it happens again, check the disk."


@dataclass(frozen=True, slots=True)
class _Error:
    """How far some rows of a tensor are off."""

    squared: float
    squared_norm: float
    largest: float


def measure_tensors(
    conversion: Conversion, plan: Plan, result: Checkpoint, threads: int = 1
) -> Generator[Progress, None, tuple[TensorResult, ...]]:
    """Compare every tensor of `result` with what `conversion` makes of the source.

    Raises:
        BadModelFile: The file differs from its plan, or holds values that are not numbers.
    """
    check_layout(plan, result)
    # What stands for no weight, such as a mark beside one, is there if the headers are right.
    tensors = [tensor for tensor in plan.tensors if tensor.sources or tensor.name in result.tensors]
    tally = {tensor.name: _Tally(tensor) for tensor in tensors}
    pieces = [one for one in cut(plan, conversion, to_read=True) if one.tensor.name in tally]
    done = 0

    def measure(piece: Slice) -> _Error:
        return _measure(conversion, result, piece)

    for piece, error in work_on(pieces, measure, threads):
        tally[piece.tensor.name].add(error)
        done += piece.weights
        yield Progress("verify", done, plan.weights, piece.tensor.name, done / plan.weights)
    return tuple(tally[t.name].result(conversion.source_bytes(t)) for t in tensors)


def check_layout(plan: Plan, result: Checkpoint) -> None:
    """Make sure that the files have the sizes, the headers and the tensors of their plan.

    Raises:
        BadModelFile: They do not.
    """
    if plan.is_folder or result.path.is_file():
        places = [result.path / file.name for file in plan.files] if plan.is_folder else None
        for planned_file, path in zip(plan.files, places or result.files, strict=True):
            _check_file(planned_file, path)
    if plan.is_folder:
        return  # headers tell the parts of all weights
    written = {name: (info.shape, info.dtype, info.nbytes) for name, info in result.tensors.items()}
    planned = {
        tensor.name: (tensor.shape, tensor.encoding, tensor.nbytes) for tensor in plan.tensors
    }
    for name in written.keys() | planned.keys():
        if written.get(name) != planned.get(name):
            raise BadModelFile(
                f"The tensor {name} was not written as it was planned.",
                _AGAIN,
                f"{written.get(name)} instead of {planned.get(name)}",
            )


def _check_file(planned: PlannedFile, path: Path) -> None:
    with path.open("rb") as file:
        header = file.read(len(planned.header))
    if header != planned.header or path.stat().st_size != planned.nbytes:
        raise BadModelFile(
            "The written file is not what was planned.",
            _AGAIN,
            f"{path.name}: {path.stat().st_size} bytes instead of {planned.nbytes}, "
            f"header {'equal' if header == planned.header else 'different'}",
        )


class _Tally:
    """Adds up the slices of one tensor."""

    def __init__(self, tensor: PlannedTensor) -> None:
        self._tensor = tensor
        self._squared_error = self._squared_norm = self._max_error = 0.0

    def add(self, error: _Error) -> None:
        self._squared_error += error.squared
        self._squared_norm += error.squared_norm
        self._max_error = max(self._max_error, error.largest)

    def result(self, before: int) -> TensorResult:
        """The whole tensor's errors.

        Raises:
            BadModelFile: One is not a number.
        """
        tensor = self._tensor
        if not math.isfinite(self._squared_error):
            raise BadModelFile(
                f"The written tensor {tensor.name} contains values that are not numbers.", _AGAIN
            )
        error, norm = math.sqrt(self._squared_error), math.sqrt(self._squared_norm)
        return TensorResult(
            name=tensor.name,
            encoding=tensor.encoding,
            shape=tensor.shape,
            before=before,
            after=tensor.nbytes,
            # A tensor of zeros has no relative error; should it have become anything else, the
            # whole of that is error.
            error=error / norm if norm else float(error > 0),
            max_error=self._max_error,
            wanted=tensor.wanted,
        )


def _measure(conversion: Conversion, result: Checkpoint, piece: Slice) -> _Error:
    import torch

    tensor = piece.tensor
    rows = (piece.stop - piece.start, -1)
    wanted = conversion.rows(tensor, piece.start, piece.stop).reshape(rows)
    written = result.rows(tensor.name, piece.start, piece.stop).reshape(rows).to(torch.float32)
    error = torch.sub(written, wanted)
    max_error = float(torch.stack(torch.aminmax(error)).abs().max())
    squared = _squared(error) if max_error else 0.0
    return _Error(squared, _squared(wanted), max_error)


def _squared(values: Tensor) -> float:
    """Sum of squares: in float32 within a row, float64 over rows.

    Where squares leave float32's range, all of it in float64, at a quarter of the speed.
    """
    import torch

    quick = float(torch.linalg.vector_norm(values, dim=-1).double().square().sum())
    if 1e-28 < quick < math.inf:  # so large a sum does not feel what has become zero
        return quick
    return float(values.double().square_().sum())
