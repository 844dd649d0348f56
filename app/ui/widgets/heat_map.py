"""Error of every tensor as a map: layers from left to right, kinds from top to bottom."""

from __future__ import annotations

from statistics import median

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QLinearGradient, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget
from typing_extensions import override

from app.core import words
from app.evaluation.breakdown import HeatMap as Errors
from app.ui.parts import kind_title
from app.ui.theme import blend, tokens

_CELL_HEIGHT = 20
_NAMES = 150
_AXIS = 26
_LEGEND = 28
_WIDEST = 40


class HeatMap(QWidget):
    """Hover, or the arrow keys, name the exact value of a cell."""

    pointed = Signal(str)
    """The cell under the pointer in words; "" for none."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._map = Errors((), ())
        self._low, self._high = 0.0, 1.0
        self._at: tuple[int, int] | None = None
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_map(self, errors: Errors) -> None:
        """Draw these."""
        self._map = errors
        values = [cell.error for row in errors.rows for cell in row if cell]
        self._low, self._high = min(values, default=0.0), max(values, default=1.0)
        self._at = None
        self.setFixedHeight(self.sizeHint().height())
        self.setVisible(bool(values))
        self.setAccessibleName(self.tr("Error by layer and kind"))
        self.setAccessibleDescription(self.in_words())
        self.update()

    def in_words(self) -> str:
        """The map as a sentence."""
        cells = [
            (cell.error, layer, kind)
            for layer, row in enumerate(self._map.rows)
            for cell, kind in zip(row, self._map.kinds, strict=True)
            if cell
        ]
        if not cells:
            return ""
        worst, layer, kind = max(cells)
        middle = median(error for error, _, _ in cells)
        return self.tr("The largest error is {} in layer {}, {}. The middle one is {}.").format(
            words.percent(worst), layer, kind_title(kind), words.percent(middle)
        )

    @override
    def sizeHint(self) -> QSize:
        return QSize(480, _CELL_HEIGHT * len(self._map.kinds) + _AXIS + _LEGEND)

    def _cell_width(self) -> float:
        return min(_WIDEST, (self.width() - _NAMES) / max(1, len(self._map.rows)))

    def _cell(self, column: int, row: int) -> QRectF:
        width = self._cell_width()
        gap = 2 if width > 8 else 0.5
        return QRectF(_NAMES + column * width, row * _CELL_HEIGHT, width - gap, _CELL_HEIGHT - 2)

    @override
    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._paint_cells(painter)
        self._paint_axis(painter)
        self._paint_legend(painter)
        painter.end()

    def _paint_cells(self, painter: QPainter) -> None:
        colours = tokens()
        spread = (self._high - self._low) or 1.0
        middle = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
        for row, kind in enumerate(self._map.kinds):
            painter.setPen(QColor(colours.text))
            name = QRectF(0, row * _CELL_HEIGHT, _NAMES - 8, _CELL_HEIGHT - 2)
            painter.drawText(name, middle, kind_title(kind))
            for column, cells in enumerate(self._map.rows):
                cell = cells[row]
                if cell is None:
                    continue
                share = (cell.error - self._low) / spread
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(blend(colours.calm, colours.bad, share))
                painter.drawRoundedRect(self._cell(column, row), 2, 2)
        if self._at is not None:
            painter.setPen(QColor(colours.text))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(self._cell(*self._at), 2, 2)

    def _paint_axis(self, painter: QPainter) -> None:
        painter.setPen(QColor(tokens().secondary))
        top = _CELL_HEIGHT * len(self._map.kinds)
        named = QRectF(0, top, _NAMES - 8, _AXIS - 6)
        middle = Qt.AlignmentFlag.AlignVCenter
        painter.drawText(named, Qt.AlignmentFlag.AlignLeft | middle, self.tr("Layer"))
        step = next((step for step in (1, 2, 4, 8, 16) if step * self._cell_width() >= 28), 32)
        for column in range(0, len(self._map.rows), step):
            at = QRectF(self._cell(column, 0).center().x() - 20, top, 40, _AXIS - 6)
            painter.drawText(at, Qt.AlignmentFlag.AlignCenter, str(column))

    def _paint_legend(self, painter: QPainter) -> None:
        colours = tokens()
        top = _CELL_HEIGHT * len(self._map.kinds) + _AXIS
        painter.setPen(QColor(colours.secondary))
        middle = Qt.AlignmentFlag.AlignVCenter
        left = QRectF(0, top, _NAMES - 8, 18)
        painter.drawText(left, Qt.AlignmentFlag.AlignLeft | middle, self.tr("Relative error"))
        low, high = words.percent(self._low), words.percent(self._high)
        space = painter.fontMetrics().horizontalAdvance(low) + 8
        painter.drawText(QRectF(_NAMES, top, space, 18), Qt.AlignmentFlag.AlignLeft | middle, low)
        strip = QRectF(_NAMES + space, top + 5, 120, 8)
        gradient = QLinearGradient(strip.topLeft(), strip.topRight())
        gradient.setColorAt(0, QColor(colours.calm))
        gradient.setColorAt(1, QColor(colours.bad))
        painter.fillRect(strip, gradient)
        end = QRectF(strip.right() + 8, top, 80, 18)
        painter.drawText(end, Qt.AlignmentFlag.AlignLeft | middle, high)

    @override
    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        column = int((event.position().x() - _NAMES) // self._cell_width())
        row = int(event.position().y() // _CELL_HEIGHT)
        inside = 0 <= column < len(self._map.rows) and 0 <= row < len(self._map.kinds)
        self._point((column, row) if inside and event.position().x() >= _NAMES else None)

    @override
    def leaveEvent(self, event: object) -> None:
        self._point(None)

    @override
    def keyPressEvent(self, event: QKeyEvent) -> None:
        moves = {
            Qt.Key.Key_Left: (-1, 0), Qt.Key.Key_Right: (1, 0),
            Qt.Key.Key_Up: (0, -1), Qt.Key.Key_Down: (0, 1),
        }  # fmt: skip
        step = moves.get(Qt.Key(event.key()))
        if step is None or not self._map.rows:
            super().keyPressEvent(event)
            return
        column, row = self._at or (0, 0)
        if self._at is not None:
            column = min(max(0, column + step[0]), len(self._map.rows) - 1)
            row = min(max(0, row + step[1]), len(self._map.kinds) - 1)
        self._point((column, row))

    def _point(self, at: tuple[int, int] | None) -> None:
        if at == self._at:
            return
        self._at = at
        text = "" if at is None else self._describe(*at)
        self.setToolTip(text)
        self.setAccessibleDescription(text or self.in_words())
        self.pointed.emit(text)
        self.update()

    def _describe(self, column: int, row: int) -> str:
        kind, cell = self._map.kinds[row], self._map.rows[column][row]
        if cell is None:
            return ""
        return self.tr("Layer {}, {}: {} as {}").format(
            column, kind_title(kind), words.percent(cell.error), cell.encoding
        )
