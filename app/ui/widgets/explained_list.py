"""A choice in one line, and a sentence under it that says what the choice means."""

from __future__ import annotations

from PySide6.QtCore import QSize, Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget
from typing_extensions import override

from app.ui.widgets.marked_grid import CONTROL_WIDTH
from app.ui.widgets.text import label

_CAPTION_LETTERS = 15
_FIXED = QSizePolicy.Policy.Fixed


class ExplainedList(QWidget):
    """A caption, a list, and a sentence; in each of them the list begins at the same place."""

    changed = Signal()

    def __init__(self, caption: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.list = QComboBox()
        self.list.setSizePolicy(_FIXED, _FIXED)
        self.list.setMinimumWidth(CONTROL_WIDTH)
        self.list.setAccessibleName(caption)
        self.sentence = label("", "secondary", wrap=True)
        self.row = QHBoxLayout()
        self.row.setSpacing(10)
        self.row.addWidget(_Caption(caption, self.list))
        self.row.addWidget(self.list)
        self.row.addStretch()
        column = QVBoxLayout(self)
        column.setContentsMargins(2, 8, 0, 0)
        column.setSpacing(4)
        column.addLayout(self.row)
        column.addWidget(self.sentence)

    def explain(self, text: str) -> None:
        """Say what the choice means, also to those who cannot see it."""
        self.sentence.setText(text)
        self.list.setAccessibleDescription(text)


class _Caption(QLabel):
    """As wide as many letters, in any font: captions under each other make a column."""

    def __init__(self, text: str, of: QWidget) -> None:
        super().__init__(text)
        self.setBuddy(of)
        self.setSizePolicy(_FIXED, QSizePolicy.Policy.Preferred)

    @override
    def sizeHint(self) -> QSize:
        hint = super().sizeHint()
        column = _CAPTION_LETTERS * self.fontMetrics().averageCharWidth()
        return QSize(max(hint.width(), column), hint.height())
