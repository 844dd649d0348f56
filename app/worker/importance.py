"""The stage before quantizing, where a recipe asks for it: how much each column matters."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from app.calibration.importance import ImportanceOptions, importance_of, is_kept
from app.core.events import Note, Progress
from app.core.job import Job
from app.core.plan import ImportanceFacts, PlannedTensor
from app.core.recipe import AUTOMATIC
from app.formats.gguf.imatrix import ImportanceMatrix, read_imatrix
from app.formats.slices import matrix_rows
from app.models.base import Checkpoint
from app.models.facts import model_facts
from app.worker.device import place_on

if TYPE_CHECKING:
    from torch import Tensor

_COLUMNS_KEPT = 256


class Importance:
    """An importance matrix in use. Thread-safe."""

    def __init__(self, matrix: ImportanceMatrix, name: str) -> None:
        """`name` is what a result calls the matrix."""
        self.facts = ImportanceFacts(
            name,
            ", ".join(matrix.datasets),
            len(matrix.tensors),
            matrix.chunks,
            frozenset(matrix.tensors),
        )
        self.gaps = matrix.gaps()
        self.digest = _digest(matrix)
        self._columns = lru_cache(_COLUMNS_KEPT)(matrix.columns)

    def columns(self, tensor: PlannedTensor, start: int = 0) -> Tensor | None:
        """What counts in the matrix that row `start` of a tensor is in: (in,), or None.

        Raises:
            BadModelFile: The tensor has another shape than the matrix was made for.
        """
        rows = matrix_rows(tensor)
        return self._columns(tensor.name, start // rows if rows else 0, tensor.shape[-1])

    def check(self, tensors: Sequence[PlannedTensor]) -> None:
        """Make sure that it is about this model, before any work.

        Raises:
            BadModelFile: A tensor has another shape than the matrix was made for.
        """
        for tensor in tensors:
            if len(tensor.shape) > 1:
                last = tensor.weights // tensor.shape[-1] - 1
                self.columns(tensor)
                self.columns(tensor, max(0, last))


def importances(
    job: Job, source: Checkpoint
) -> Generator[Progress | Note, None, Mapping[str, Importance]]:
    """Compute or read the matrices that the recipes of `job` name; by those names.

    Raises:
        AppError: One cannot be computed or read.
    """
    wishes = dict.fromkeys(output.recipe.importance for output in job.outputs)
    found: dict[str, Importance] = {}
    for wish in filter(None, wishes):
        if wish == AUTOMATIC:
            name = f"{model_facts(source).name}.imatrix.gguf"
            matrix = yield from importance_of(source, _options(job), place_on(job.device))
            found[wish] = Importance(matrix, name)
            continue
        found[wish] = Importance(read_imatrix(Path(wish)), Path(wish).name)
        if found[wish].gaps:
            yield Note(found[wish].gaps)
    return found


def must_calibrate(job: Job, source: Checkpoint) -> bool:
    """Whether a matrix has to be computed that was not kept from another time."""
    wanted = any(output.recipe.importance == AUTOMATIC for output in job.outputs)
    return wanted and not is_kept(source, _options(job))


def _options(job: Job) -> ImportanceOptions:
    text = Path(job.calibration) if job.calibration else None
    return ImportanceOptions(text, merged=job.adapters)


def _digest(matrix: ImportanceMatrix) -> str:
    """Differs where a number does."""
    found = hashlib.sha256()
    for name in sorted(matrix.tensors):
        squares = matrix.tensors[name]
        found.update(name.encode())
        for array in (squares.sums, squares.counts):
            found.update(array.contiguous().numpy().tobytes())
    return found.hexdigest()
