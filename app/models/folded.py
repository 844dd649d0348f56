"""A model whose weights were scaled against each other: other numbers, the same function.

What multiplies the columns of a matrix divides, in whatever makes its inputs, the elements of a
norm or the rows of another matrix.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from app.core.files import write_atomic
from app.core.tensor import TensorInfo
from app.models.base import Checkpoint

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Fold:
    """What happens to one weight."""

    columns: Tensor | None = None
    """Multiplies the columns, (in,), float32."""
    rows: Tensor | None = None
    """Divides the rows, (out,), or the elements of a vector."""
    offset: float = 0.0
    """What a vector is used with: 1 for norms that multiply with 1 + w."""

    def and_columns(self, factors: Tensor) -> Fold:
        """The same, with columns multiplied once more."""
        return replace(self, columns=factors if self.columns is None else self.columns * factors)

    def and_rows(self, factors: Tensor, offset: float = 0.0) -> Fold:
        """The same, with rows divided once more."""
        rows = factors if self.rows is None else self.rows * factors
        return replace(self, rows=rows, offset=offset)

    def of(self, stored: Tensor, start: int, stop: int, *, vector: bool) -> Tensor:
        """Rows `start` to `stop` of the changed weight, float32; `stored` are its own."""
        found = stored.float()
        if self.columns is not None:
            found = found * self.columns
        if self.rows is None:
            return found
        if vector:
            return (found + self.offset) / self.rows - self.offset
        return found / self.rows[start:stop, None]


class Folded(Checkpoint):
    """Names and shapes of the base model; the numbers are the scaled ones."""

    kind: ClassVar[str] = "safetensors"

    def __init__(self, base: Checkpoint) -> None:
        """Fold nothing, until `folds` are set."""
        self._base = base
        self.path: Path = base.path
        self.files: Sequence[Path] = base.files
        self.config: Mapping[str, Any] = base.config
        self.tensors: Mapping[str, TensorInfo] = base.tensors
        self.folds: dict[str, Fold] = {}
        """By the names of the tensors."""
        self.layers: set[int] = set()
        """Those for which everything is in `folds` that ever will be."""

    @property
    @override
    def stored_as(self) -> str:
        return self._base.stored_as

    @property
    @override
    def notes(self) -> tuple[str, ...]:
        return self._base.notes

    @override
    def rows(self, name: str, start: int = 0, stop: int | None = None) -> Tensor:
        found = self._base.rows(name, start, stop)
        fold = self.folds.get(name)
        if fold is None:
            return found
        vector = len(self.tensors[name].shape) == 1
        return fold.of(found, start, start + len(found), vector=vector)

    def save(self, path: Path, key: str) -> None:
        """Keep the folds, whatever happens to the machine.

        Args:
            path: The file.
            key: Says of which job they are.
        """
        from safetensors.torch import save

        tensors = {
            f"{part}:{name}": value.clone()
            for name, fold in self.folds.items()
            for part, value in (("columns", fold.columns), ("rows", fold.rows))
            if value is not None
        }
        offsets = {name: fold.offset for name, fold in self.folds.items() if fold.offset}
        facts = {"key": key, "layers": sorted(self.layers), "offsets": offsets}
        write_atomic(path, save(tensors, metadata={"facts": json.dumps(facts)}))

    def load(self, path: Path, key: str) -> None:
        """Take over what was kept; a damaged file, or one of another job, counts as none."""
        from safetensors import SafetensorError, safe_open

        if not path.exists():
            return
        try:
            with safe_open(path, "pt") as file:
                facts = json.loads((file.metadata() or {})["facts"])
                if facts["key"] != key:
                    return
                tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        except (OSError, ValueError, LookupError, TypeError, SafetensorError):
            return
        self.layers = set(facts["layers"])
        self.folds = {}
        for label, value in tensors.items():
            part, _, name = label.partition(":")
            fold = self.folds.get(name, Fold(offset=facts["offsets"].get(name, 0.0)))
            self.folds[name] = replace(fold, **{part: value})
