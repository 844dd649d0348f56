"""Whether an importance matrix is used, and where it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtGui import QStandardItemModel
from PySide6.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from app.core.model import FormatChoice
from app.core.needs import JobNeeds, TimeSpan
from app.core.recipe import AUTOMATIC
from app.ui import phrases
from app.ui.widgets.text import ElidedLabel, label

_FEW_BITS = 4.5
"""Below this a matrix makes a difference that people notice."""


class Origin(IntEnum):
    """What a matrix comes from, in the order of the list."""

    NONE = 0
    SHIPPED = 1
    OWN_TEXT = 2
    FILE = 3


class ImportanceChoice(QWidget):
    """A list with a sentence under it; one choice for all formats that have use for it."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._choices: Sequence[FormatChoice] = ()
        self._seconds: TimeSpan | None = None
        self._own = Origin.NONE  # what the user has chosen for this model
        self._paths: dict[Origin, str] = {}
        self.origin = QComboBox()
        self.origin.addItems(
            [
                self.tr("None"),
                self.tr("Computed from Nibble's text"),
                self.tr("Computed from my text or chats..."),
                self.tr("From a file..."),
            ]
        )
        self.origin.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.origin.setAccessibleName(self.tr("Importance matrix"))
        self.origin.activated.connect(self._on_activated)
        self._path = ElidedLabel(role="secondary", mode=Qt.TextElideMode.ElideMiddle)
        self.sentence = label("", "secondary", wrap=True)
        caption = label(self.tr("Importance matrix"))
        caption.setBuddy(self.origin)
        row = QHBoxLayout()
        row.setSpacing(10)
        row.addWidget(caption)
        row.addWidget(self.origin)
        row.addWidget(self._path, 1)
        row.addStretch()
        column = QVBoxLayout(self)
        column.setContentsMargins(2, 8, 0, 0)
        column.setSpacing(4)
        column.addLayout(row)
        column.addWidget(self.sentence)

    def show_formats(self, choices: Sequence[FormatChoice]) -> None:
        """Be about the formats that are to be made."""
        self._choices = choices
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
        if not (choice.importance_helps or choice.needs_importance):
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
        return self._paths[Origin.OWN_TEXT] if self.used is Origin.OWN_TEXT else ""

    def _in_need(self) -> list[FormatChoice]:
        return [choice for choice in self._choices if choice.needs_importance]

    def _helped(self) -> list[FormatChoice]:
        return [choice for choice in self._choices if choice.importance_helps]

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
        self.setVisible(bool(in_need or self._helped()))
        rows = self.origin.model()
        assert isinstance(rows, QStandardItemModel)
        rows.item(Origin.NONE).setEnabled(not in_need)
        self.origin.setCurrentIndex(self.used)
        path = self._paths.get(self.used, "")
        self._path.setText(Path(path).name if path else "")
        self._path.setVisible(bool(path))
        self.sentence.setText(self._text())
        self.origin.setAccessibleDescription(self.sentence.text())

    def _text(self) -> str:
        parts = [
            self.tr(
                "It tells which weights matter most in real text, so that rounding spares them."
            )
        ]
        in_need = self._in_need()
        if in_need:
            parts.append(self.tr("{} cannot do without.").format(_names(in_need)))
        elif self.used is Origin.NONE:
            few = [choice for choice in self._helped() if choice.bits_per_weight < _FEW_BITS]
            if few:
                parts.append(self.tr("{} would be clearly better with one.").format(_names(few)))
            else:
                parts.append(self.tr("With this many bits it changes little."))
        if self.used in {Origin.SHIPPED, Origin.OWN_TEXT}:
            parts.append(self._time())
        return " ".join(parts)

    def _time(self) -> str:
        if self._seconds is None:
            return self.tr("Computing it takes longer than converting; it is kept for next time.")
        span = phrases.time_span(self._seconds)
        return self.tr("Computing it takes {}; it is kept for next time.").format(span)


def _names(choices: Sequence[FormatChoice]) -> str:
    return ", ".join(choice.preset for choice in choices)
