"""Rows of a form, each with an explanation, and a dot before what differs from the default."""

from __future__ import annotations

from collections.abc import Collection

from PySide6.QtCore import QCoreApplication
from PySide6.QtWidgets import QGridLayout, QLabel, QWidget

from app.ui.widgets.text import ElidedLabel, label

_MARK_WIDTH = 10
CONTROL_WIDTH = 264


class MarkedGrid(QGridLayout):
    """Columns: dot, name, control, explanation; a control without a name takes two of them."""

    def __init__(self) -> None:
        super().__init__()
        self._marks: dict[str, QLabel] = {}
        self._rows: dict[str, list[QWidget]] = {}
        self.setContentsMargins(0, 0, 0, 0)
        self.setHorizontalSpacing(12)
        self.setVerticalSpacing(10)
        self.setColumnStretch(3, 1)
        self.setColumnMinimumWidth(1, 96)

    def add(self, key: str, name: str, control: QWidget, explanation: str = "") -> None:
        """Append a row; `key` is what `mark` calls it."""
        row = self.rowCount()
        dot = label("")
        dot.setStyleSheet("font-size: 8px;")
        dot.setFixedWidth(_MARK_WIDTH)
        self._marks[key] = dot
        self.addWidget(dot, row, 0)
        self._rows[key] = [dot, control]
        if name:
            caption = label(name)
            caption.setBuddy(control)
            control.setAccessibleName(name)
            control.setFixedWidth(CONTROL_WIDTH)
            self._rows[key].append(caption)
            self.addWidget(caption, row, 1)
            self.addWidget(control, row, 2)
        else:
            self.addWidget(control, row, 1, 1, 2)
        control.setAccessibleDescription(explanation)
        about = ElidedLabel(explanation, "secondary")
        self._rows[key].append(about)
        self.addWidget(about, row, 3)

    def show_row(self, key: str, wanted: bool) -> None:
        """Show a row, or take it out of sight."""
        for widget in self._rows[key]:
            widget.setVisible(wanted)

    def mark(self, differing: Collection[str]) -> None:
        """Put a dot before these rows and no others."""
        tip = QCoreApplication.translate("MarkedGrid", "Differs from the default")
        for key, dot in self._marks.items():
            dot.setText("●" if key in differing else "")
            dot.setToolTip(tip if key in differing else "")
