"""How to run a result: a line for each program that loads it, to be copied."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QGridLayout, QWidget

from app.core.runtime import Start
from app.ui.icons import IconButton
from app.ui.widgets.clear import clear
from app.ui.widgets.text import ElidedLabel, label


class RunLines(QWidget):
    """Program, command, and a button that copies it."""

    copied = Signal(str)
    """The command that is wanted on the clipboard."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(4, 0, 0, 0)
        self._grid.setHorizontalSpacing(16)
        self._grid.setVerticalSpacing(2)
        self._grid.setColumnStretch(1, 1)

    def show_starts(self, starts: Sequence[Start]) -> None:
        """Show these instead."""
        clear(self._grid)
        for row, start in enumerate(starts):
            command = ElidedLabel(start.command)
            command.setAccessibleName(f"{start.program}: {start.command}")
            copy = IconButton("copy", self.tr("Copy the command for {}").format(start.program))
            copy.clicked.connect(lambda _=False, text=start.command: self.copied.emit(text))
            self._grid.addWidget(label(start.program, "secondary"), row, 0)
            self._grid.addWidget(command, row, 1)
            self._grid.addWidget(copy, row, 2)
