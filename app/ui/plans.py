"""What recipes would make of a model, tensor by tensor: asked aside once changes pause."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal, Slot

from app.core.errors import AppError
from app.core.recipe import Recipe
from app.ui.command_line import plan_words
from app.ui.probe import Probe

_PAUSE_MS = 250
_LAYER = re.compile(r"(?<=\.)\d+(?=\.)")


@dataclass(frozen=True, slots=True)
class TensorKind:
    """Tensors that differ in their layer only."""

    name: str
    """With a star for the layer: "blk.*.ffn_up.weight"."""
    encoding: str
    wanted: str
    """What the recipe wants, where their rows do not divide by its block; else ""."""
    count: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class ResultPlan:
    """A result before it is made."""

    nbytes: int
    bits_per_weight: float
    files: int
    notes: tuple[str, ...]
    names: tuple[str, ...]
    """Of all tensors."""
    kinds: tuple[TensorKind, ...]

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> ResultPlan:
        """Read what `quantize --dry-run` prints.

        Raises:
            ValueError: It is something else.
        """
        try:
            tensors: Sequence[Mapping[str, Any]] = fields["tensors"]
            return cls(
                nbytes=int(fields["bytes_after"]),
                bits_per_weight=float(fields["bits_per_weight"]),
                files=len(fields["files"]),
                notes=tuple(fields["notes"]),
                names=tuple(tensor["name"] for tensor in tensors),
                kinds=_kinds(tensors),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("not a plan") from error


def _kinds(tensors: Sequence[Mapping[str, Any]]) -> tuple[TensorKind, ...]:
    """In the order of the file."""
    groups: dict[tuple[str, str, str], list[int]] = {}
    for tensor in tensors:
        key = (_LAYER.sub("*", tensor["name"]), tensor["encoding"], tensor["wanted"])
        groups.setdefault(key, []).append(tensor["nbytes"])
    return tuple(TensorKind(*key, len(sizes), sum(sizes)) for key, sizes in groups.items())


class Plans(QObject):
    """The plans of some recipes for one model; those that are known already stay known."""

    changed = Signal()
    """There is news about `plan`, `problem` or `is_busy`."""

    def __init__(self, command: list[str], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.problem: AppError | None = None
        """Why one of the recipes cannot be applied."""
        self._model = ""
        self._wanted: tuple[Recipe, ...] = ()
        self._known: dict[Recipe, ResultPlan | AppError] = {}
        self._asked: Recipe | None = None
        self._pause = QTimer(self, interval=_PAUSE_MS, singleShot=True)
        self._pause.timeout.connect(self._ask_next)
        self._probe = Probe(command, self)
        self._probe.answered.connect(self._understand)
        self._probe.failed.connect(self._keep)

    @property
    def is_busy(self) -> bool:
        """Whether plans are still to come."""
        return self._pause.isActive() or self._probe.is_busy

    def plan(self, recipe: Recipe) -> ResultPlan | None:
        """What `recipe` would make; None while nobody knows."""
        found = self._known.get(recipe)
        return found if isinstance(found, ResultPlan) else None

    def ask(self, model: str, recipes: tuple[Recipe, ...]) -> None:
        """Look at other recipes, or at none; what was not answered yet is forgotten."""
        if (model, recipes) == (self._model, self._wanted):
            return
        if model != self._model:
            self._known.clear()
        for recipe in [one for one in self._known if self.plan(one) is None]:
            del self._known[recipe]  # what failed may work the next time
        self._model, self._wanted = model, recipes
        self._probe.cancel()
        self._pause.stop()
        if any(recipe not in self._known for recipe in recipes):
            self._pause.start()
        self._tell()

    def close(self) -> None:
        """Stop asking, for good."""
        self._pause.stop()
        self._probe.close()

    @Slot()
    def _ask_next(self) -> None:
        self._asked = next((one for one in self._wanted if one not in self._known), None)
        if self._asked is not None:
            self._probe.ask(*plan_words(self._model, self._asked))

    @Slot(object)
    def _understand(self, answer: dict[str, Any]) -> None:
        try:
            self._keep(ResultPlan.from_json(answer))
        except ValueError as error:
            self._keep(AppError(self.tr("The result could not be planned."), details=repr(error)))

    @Slot(object)
    def _keep(self, found: ResultPlan | AppError) -> None:
        assert self._asked is not None  # nothing answers unasked
        self._known[self._asked] = found
        self._ask_next()
        self._tell()

    def _tell(self) -> None:
        answers = (self._known.get(recipe) for recipe in self._wanted)
        self.problem = next((one for one in answers if isinstance(one, AppError)), None)
        self.changed.emit()
