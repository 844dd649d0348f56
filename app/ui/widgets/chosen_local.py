"""Beside the list of models: what to do with one that is on this computer, or with none."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.ui.icons import Button
from app.ui.widgets.model_list import ModelRow
from app.ui.widgets.text import ElidedLabel, label


class ChosenLocal(QWidget):
    """Name and place of a local model, and the one thing to do with it."""

    convert_wanted = Signal(str)
    """Path of the model."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        centre = Qt.AlignmentFlag.AlignHCenter
        self.name = label("", "section", wrap=True)
        self.name.setAlignment(centre)
        self._facts = label(
            self.tr("Choose a model to see whether it runs here."), "quiet", wrap=True
        )
        self._facts.setAlignment(centre)
        self._path = ElidedLabel(role="secondary", mode=Qt.TextElideMode.ElideMiddle)
        self._path.setAlignment(centre)
        self.convert = Button(self.tr("Convert this"), "primary")
        self.convert.clicked.connect(lambda: self.convert_wanted.emit(self._path.text()))
        column = QVBoxLayout(self)
        column.setSpacing(8)
        column.addStretch(2)
        column.addWidget(self.name)
        column.addWidget(self._facts)
        column.addWidget(self._path)
        column.addSpacing(8)
        column.addWidget(self.convert, 0, centre)
        column.addStretch(3)
        self._about_one: tuple[QWidget, ...] = (self.name, self._path, self.convert)
        for widget in self._about_one:
            widget.hide()

    def show_row(self, row: ModelRow) -> None:
        """Describe a local model."""
        self.name.setText(row.title)
        self._facts.setText(row.facts)
        self._path.setText(row.key)
        for widget in self._about_one:
            widget.show()
        self.show()
