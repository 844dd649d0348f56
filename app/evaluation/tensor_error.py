"""Check a written file: is it what was planned, and how far is each tensor from its source?

The file is read back from disk and decoded as a runtime would; what it is compared with is
converted from the checkpoint anew. Slices of rows keep the memory bounded and the threads busy.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
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


@dataclass(frozen=True, slots=True)
class Written:
    """A result that is to be compared with what it was made from."""

    conversion: Conversion
    plan: Plan
    result: Checkpoint


def measure_tensors(
    conversion: Conversion, plan: Plan, result: Checkpoint, threads: int = 1
) -> Generator[Progress, None, tuple[TensorResult, ...]]:
    """Compare every tensor of `result` with what `conversion` makes of the source.

    Raises:
        BadModelFile: The file differs from its plan, or holds values that are not numbers.
    """
    (found,) = yield from measure_results([Written(conversion, plan, result)], threads)
    return found


def measure_results(
    results: Sequence[Written], threads: int = 1
) -> Generator[Progress, None, list[tuple[TensorResult, ...]]]:
    """The same for several; where they share a conversion, its rows are read once for all.

    Raises:
        BadModelFile: A file differs from its plan, or holds values that are not numbers.
    """
    for one in results:
        check_layout(one.plan, one.result)
    tallies = [_tallies(one) for one in results]
    uses: dict[tuple[int, str, int, int], list[tuple[int, Slice]]] = {}
    for number, one in enumerate(results):
        for piece in cut(one.plan, one.conversion, to_read=True):
            if piece.tensor.name in tallies[number]:
                rows = (id(one.conversion), piece.tensor.name, piece.start, piece.stop)
                uses.setdefault(rows, []).append((number, piece))
    done, total = 0, sum(piece.weights for some in uses.values() for _, piece in some)

    def measure(some: Sequence[tuple[int, Slice]]) -> list[_Error]:
        return list(_measure(some, results))

    for some, errors in work_on(list(uses.values()), measure, threads):
        for (number, piece), error in zip(some, errors, strict=True):
            tallies[number][piece.tensor.name].add(error)
            done += piece.weights
        yield Progress("verify", done, total, some[0][1].tensor.name, done / max(1, total))
    return [
        tuple(tally.result(one.conversion) for tally in found.values())
        for one, found in zip(results, tallies, strict=True)
    ]


def _tallies(one: Written) -> dict[str, _Tally]:
    # What stands for no weight, such as a mark beside one, is there if the headers are right.
    tensors = (t for t in one.plan.tensors if t.sources or t.name in one.result.tensors)
    return {tensor.name: _Tally(tensor) for tensor in tensors}


def check_layout(plan: Plan, result: Checkpoint) -> None:
    """Make sure that the files have the sizes, the headers and the tensors of their plan.

    Raises:
        BadModelFile: They do not.
    """
    if plan.is_folder or result.path.is_file():
        places = [result.path / file.name for file in plan.files] if plan.is_folder else None
        for planned_file, path in zip(plan.files, places or result.files, strict=True):
            if not planned_file.grows:
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

    def result(self, conversion: Conversion) -> TensorResult:
        """The whole tensor's errors.

        Raises:
            BadModelFile: One is not a number.
        """
        tensor = self._tensor
        if not math.isfinite(self._squared_norm):
            raise BadModelFile(
                f"The model's tensor {tensor.name} contains values that are not numbers (NaN or "
                "infinity).",
                "Its files may be damaged: download them again.",
            )
        if not math.isfinite(self._squared_error):
            raise BadModelFile(
                f"The written tensor {tensor.name} contains values that are not numbers.", _AGAIN
            )
        error, norm = math.sqrt(self._squared_error), math.sqrt(self._squared_norm)
        return TensorResult(
            name=tensor.name,
            encoding=tensor.encoding,
            shape=tensor.shape,
            before=conversion.source_bytes(tensor),
            after=tensor.nbytes,
            # A tensor of zeros has no relative error; should it have become anything else, the
            # whole of that is error.
            error=error / norm if norm else float(error > 0),
            max_error=self._max_error,
            wanted=tensor.wanted,
        )


def _measure(uses: Sequence[tuple[int, Slice]], results: Sequence[Written]) -> Iterator[_Error]:
    """The errors of the same rows in some of the results."""
    import torch

    first, piece = uses[0]
    rows = (piece.stop - piece.start, -1)
    wanted = results[first].conversion.rows(piece.tensor, piece.start, piece.stop).reshape(rows)
    norm = _squared(wanted)
    for number, use in uses:
        stored = results[number].result.rows(use.tensor.name, use.start, use.stop)
        error = torch.sub(stored.reshape(rows).to(torch.float32), wanted)
        largest = float(torch.stack(torch.aminmax(error)).abs().max())
        yield _Error(_squared(error) if largest else 0.0, norm, largest)


def _squared(values: Tensor) -> float:
    """Sum of squares: in float32 within a row, float64 over rows.

    Where squares leave float32's range, all of it in float64, at a quarter of the speed.
    """
    import torch

    quick = float(torch.linalg.vector_norm(values, dim=-1).double().square().sum())
    if 1e-28 < quick < math.inf:  # so large a sum does not feel what has become zero
        return quick
    return float(values.double().square_().sum())
