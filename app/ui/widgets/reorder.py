"""A column of widgets whose order can be changed by dragging."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QMimeData, QPoint, Qt, Signal
from PySide6.QtGui import (
    QDrag,
    QDragEnterEvent,
    QDragLeaveEvent,
    QDragMoveEvent,
    QDropEvent,
    QMouseEvent,
)
from PySide6.QtWidgets import QApplication, QFrame, QVBoxLayout, QWidget
from typing_extensions import override

from app.ui.icons import Picture
from app.ui.theme import tokens

_MIME = "application/x-nibble-job"


class Grip(Picture):
    """What a row is dragged by."""

    def __init__(self, row: Row) -> None:
        super().__init__("grip", "control", 18, row)
        self._row = row
        self._start = QPoint()
        self.setCursor(Qt.CursorShape.OpenHandCursor)
        self.setToolTip(self.tr("Drag to change the order (Alt+Up, Alt+Down)"))

    @override
    def mousePressEvent(self, event: QMouseEvent) -> None:
        self._start = event.position().toPoint()

    @override
    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        way = (event.position().toPoint() - self._start).manhattanLength()
        if way < QApplication.startDragDistance():
            return
        drag = QDrag(self)
        data = QMimeData()
        data.setData(_MIME, self._row.key.encode())
        drag.setMimeData(data)
        drag.setPixmap(self._row.grab())
        drag.exec(Qt.DropAction.MoveAction)


class Row(QFrame):
    """What stands in the column."""

    def __init__(self, key: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.key = key
        self.grip = Grip(self)


class ReorderColumn(QWidget):
    """Shows widgets one under the other; a dropped one is announced, not moved."""

    moved = Signal(str, str)
    """Key of the dropped row, and of the one it was dropped in front of; "" for the end."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAcceptDrops(True)
        self._rows: list[Row] = []
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(8)
        self._line = QFrame(self)
        self._line.hide()

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Show these in this order; does nothing when they already stand so."""
        if list(rows) == self._rows:
            return
        for row in self._rows:
            self._layout.removeWidget(row)
        for row in rows:
            self._layout.addWidget(row)
            row.show()
        self._rows = list(rows)

    @override
    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if event.mimeData().hasFormat(_MIME):
            event.acceptProposedAction()

    @override
    def dragMoveEvent(self, event: QDragMoveEvent) -> None:
        row = self._row_below(event.position().toPoint())
        edge = row.y() - 5 if row else self.height() - 2
        self._line.setStyleSheet(f"background: {tokens().accent}; border: none;")
        self._line.setGeometry(0, max(0, edge), self.width(), 2)
        self._line.raise_()
        self._line.show()
        event.acceptProposedAction()

    @override
    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        self._line.hide()

    @override
    def dropEvent(self, event: QDropEvent) -> None:
        self._line.hide()
        below = self._row_below(event.position().toPoint())
        key = bytes(event.mimeData().data(_MIME).data()).decode()
        event.acceptProposedAction()
        self.moved.emit(key, below.key if below else "")

    def _row_below(self, place: QPoint) -> Row | None:
        """The first row whose middle is under `place`."""
        return next((row for row in self._rows if row.geometry().center().y() > place.y()), None)
