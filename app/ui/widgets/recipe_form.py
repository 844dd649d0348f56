"""What a result is made of, where it is not as the preset says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QCheckBox, QComboBox, QVBoxLayout, QWidget

from app.core import words
from app.core.recipe import Recipe
from app.ui.widgets.marked_grid import MarkedGrid
from app.ui.widgets.override_list import OverrideList
from app.ui.widgets.text import label

_GB = 10**9
_PARTS = (_GB // 2, _GB, 2 * _GB, 4 * _GB, 8 * _GB, 16 * _GB, 32 * _GB, 48 * _GB)


@dataclass(frozen=True, slots=True)
class Changes:
    """The fields of a recipe that a person may set for all results at once."""

    pure: bool = False
    leave_output: bool = False
    output: str = ""
    embedding: str = ""
    split_bytes: int = 0
    overrides: tuple[tuple[str, str], ...] = ()

    def apply(self, recipe: Recipe) -> Recipe:
        """The recipe with these changes."""
        return replace(recipe, **{field.name: getattr(self, field.name) for field in fields(self)})

    @property
    def for_folders(self) -> Changes:
        """What of them can be said of a folder, whose modules all get the same."""
        return Changes(split_bytes=self.split_bytes)

    @property
    def differing(self) -> set[str]:
        """Names of the fields that are not as the preset says."""
        usual = Changes()
        return {
            field.name
            for field in fields(self)
            if getattr(self, field.name) != getattr(usual, field.name)
        }


class RecipeForm(QWidget):
    """A control for each of `Changes`."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.pure = QCheckBox(self.tr("Same type for every part"))
        self.leave_output = QCheckBox(self.tr("Leave the output layer as it is"))
        self.output = QComboBox()
        self.embedding = QComboBox()
        self.split = QComboBox()
        self.overrides = OverrideList()
        self.split.addItem(self.tr("One file"), 0)
        for size in _PARTS:
            self.split.addItem(self.tr("Files of at most {}").format(words.size(size)), size)
        self._is_folder = False
        self._grid = self._form()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(10)
        column.addLayout(self._grid)
        self.set_types(())
        for box in (self.pure, self.leave_output):
            box.toggled.connect(self._on_change)
        for choice in (self.output, self.embedding, self.split):
            choice.currentIndexChanged.connect(self._on_change)
        self.overrides.changed.connect(self._on_change)

    @property
    def changes(self) -> Changes:
        """What is chosen."""
        changes = Changes(
            pure=self.pure.isChecked(),
            leave_output=self.leave_output.isChecked(),
            output=self.output.currentData() or "",
            embedding=self.embedding.currentData() or "",
            split_bytes=self.split.currentData() or 0,
            overrides=self.overrides.overrides,
        )
        return changes.for_folders if self._is_folder else changes

    @property
    def problem(self) -> str:
        """Why this cannot work, in a sentence; empty when it can."""
        return "" if self._is_folder else self.overrides.problem

    def show_kind(self, is_folder: bool) -> None:
        """Show what can be said of a file, or of a folder."""
        self._is_folder = is_folder
        for key in ("output", "embedding", "leave_output", "pure"):
            self._grid.show_row(key, not is_folder)
        self._rules.setVisible(not is_folder)
        self.split.setItemText(0, self.tr("Files of 5 GB") if is_folder else self.tr("One file"))
        self._grid.mark(self.changes.differing)

    def set_types(self, types: Sequence[str]) -> None:
        """Offer these for single tensors."""
        self.overrides.set_types(types)
        for choice in (self.output, self.embedding):
            chosen = choice.currentData()
            choice.blockSignals(True)
            choice.clear()
            choice.addItem(self.tr("As the format says"), "")
            for kind in types:
                choice.addItem(kind, kind)
            choice.setCurrentIndex(max(0, choice.findData(chosen)))
            choice.blockSignals(False)

    def _form(self) -> MarkedGrid:
        grid = MarkedGrid()
        grid.add(
            "output",
            self.tr("Output layer"),
            self.output,
            self.tr("It turns the last layer's numbers into words"),
        )
        grid.add("embedding", self.tr("Embedding"), self.embedding, self.tr("A row for each word"))
        grid.add(
            "split_bytes",
            self.tr("Size of files"),
            self.split,
            self.tr("For disks and sites that take no larger ones"),
        )
        grid.add("leave_output", "", self.leave_output, self.tr("Larger, and a little better"))
        grid.add(
            "pure",
            "",
            self.pure,
            self.tr("No better types for the parts that suffer most"),
        )
        self._rules = QWidget()
        column = QVBoxLayout(self._rules)
        column.setContentsMargins(0, 6, 0, 0)
        column.setSpacing(6)
        column.addWidget(
            label(self.tr("Types for tensors by name; the first rule that finds one counts"))
        )
        column.addWidget(self.overrides)
        row = grid.rowCount()
        grid.addWidget(self._rules, row, 1, 1, 3)
        return grid

    def _on_change(self) -> None:
        self._grid.mark(self.changes.differing)
        self.changed.emit()
