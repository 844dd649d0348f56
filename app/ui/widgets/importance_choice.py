"""Whether an importance matrix is used, and where it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path

from PySide6.QtCore import QCoreApplication, Qt, Slot
from PySide6.QtGui import QStandardItemModel
from PySide6.QtWidgets import QFileDialog, QWidget

from app.core.model import FormatChoice
from app.core.needs import JobNeeds, TimeSpan
from app.core.recipe import AUTOMATIC
from app.ui import phrases
from app.ui.recommend import has_few_bits
from app.ui.widgets.explained_list import ExplainedList
from app.ui.widgets.text import ElidedLabel


class Origin(IntEnum):
    """What a matrix comes from, in the order of the list."""

    NONE = 0
    SHIPPED = 1
    OWN_TEXT = 2
    FILE = 3


class ImportanceChoice(ExplainedList):
    """One choice for all formats that have use for it; out of sight where none has."""

    def __init__(self, parent: QWidget | None = None) -> None:
        caption = QCoreApplication.translate("ImportanceChoice", "Importance matrix")
        super().__init__(caption, parent)
        self._choices: Sequence[FormatChoice] = ()
        self._seconds: TimeSpan | None = None
        self._own = Origin.NONE  # what the user has chosen for this model
        self._paths: dict[Origin, str] = {}
        self.list.addItems(
            [
                self.tr("None"),
                self.tr("Computed from Nibble's text"),
                self.tr("Computed from my text or chats..."),
                self.tr("From a file..."),
            ]
        )
        self.list.activated.connect(self._on_activated)
        self._path = ElidedLabel(role="secondary", mode=Qt.TextElideMode.ElideMiddle)
        self.row.insertWidget(self.row.count() - 1, self._path, 1)

    def show_formats(self, choices: Sequence[FormatChoice]) -> None:
        """Be about the formats that are to be made, as far as a matrix counts for them."""
        self._choices = [one for one in choices if one.importance_helps or one.needs_importance]
        self._refresh()

    def show_needs(self, needs: JobNeeds | None) -> None:
        """How long computing it takes, where that is part of the job: the model decides it."""
        if needs is None or needs.importance is None:
            return
        self._seconds = needs.importance
        self._refresh()

    def reset(self) -> None:
        """Another model: the user has chosen nothing for it, and no file of the last one fits."""
        self._own = Origin.NONE
        self._seconds = None
        self._paths.pop(Origin.FILE, None)

    def choose(self, origin: Origin, path: str = "") -> None:
        """Take a matrix from `origin`, as the user does; `path` is of the text or the file."""
        self._own = origin
        if path:
            self._paths[origin] = path
        self._refresh()
        self.changed.emit()

    @property
    def used(self) -> Origin:
        """What the user has chosen, where that is possible; else only where it is needed."""
        if self._own is not Origin.NONE:
            return self._own
        return Origin.SHIPPED if self._in_need() else Origin.NONE

    def importance_for(self, choice: FormatChoice) -> str:
        """What the recipe of a format says; see `Recipe.importance`."""
        if choice not in self._choices:
            return ""
        match self.used:
            case Origin.NONE:
                return ""
            case Origin.FILE:
                return self._paths[Origin.FILE]
        return AUTOMATIC

    @property
    def calibration(self) -> str:
        """Path of the text that it is computed from; "" for the one that is shipped."""
        is_read = bool(self._choices) and self.used is Origin.OWN_TEXT
        return self._paths[Origin.OWN_TEXT] if is_read else ""

    def _in_need(self) -> list[FormatChoice]:
        return [choice for choice in self._choices if choice.needs_importance]

    @Slot(int)
    def _on_activated(self, place: int) -> None:
        origin = Origin(place)
        path = ""
        if origin is Origin.OWN_TEXT:
            title, kinds = self.tr("Choose a text or chats"), self.tr("Texts (*.txt *.md *.jsonl)")
            path, _ = QFileDialog.getOpenFileName(self, title, "", kinds)
        elif origin is Origin.FILE:
            title = self.tr("Choose an importance matrix")
            kinds = self.tr("Importance matrices (*.gguf *.dat *.imatrix)")
            path, _ = QFileDialog.getOpenFileName(self, title, "", kinds)
        if origin in {Origin.OWN_TEXT, Origin.FILE} and not path:
            self._refresh()  # back to what it was
            return
        self.choose(origin, path)

    def _refresh(self) -> None:
        in_need = self._in_need()
        self.setVisible(bool(self._choices))
        rows = self.list.model()
        assert isinstance(rows, QStandardItemModel)
        rows.item(Origin.NONE).setEnabled(not in_need)
        self.list.setCurrentIndex(self.used)
        path = self._paths.get(self.used, "")
        self._path.setText(Path(path).name if path else "")
        self._path.setVisible(bool(path))
        self.explain(self._text())

    def _text(self) -> str:
        parts = [
            self.tr(
                "It tells which weights matter most in real text, so that rounding spares them."
            )
        ]
        in_need = self._in_need()
        if in_need:
            parts.append(self.tr("{} cannot do without.").format(phrases.formats(in_need)))
        elif self.used is Origin.NONE:
            if few := [choice for choice in self._choices if has_few_bits(choice)]:
                parts.append(
                    self.tr("{} would be clearly better with one.").format(phrases.formats(few))
                )
            else:
                parts.append(self.tr("With this many bits it changes little."))
        if self.used in {Origin.SHIPPED, Origin.OWN_TEXT}:
            parts.append(self._time())
        return " ".join(parts)

    def _time(self) -> str:
        if self._seconds is None:
            return self.tr("Computing it takes longer than converting; it is kept for next time.")
        return self.tr("Computing it takes {}; it is kept for next time.").format(self._seconds)
