"""Bars of size by part of the model, before and after."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget
from typing_extensions import override

from app.core import words
from app.evaluation.breakdown import PartSize
from app.ui.parts import part_title
from app.ui.theme import tokens

_ROW = 30
_NAME, _FIGURES = 140, 170


class PartBars(QWidget):
    """One row a part: the pale bar is the original, the strong one the result."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._parts: Sequence[PartSize] = ()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_parts(self, parts: Sequence[PartSize]) -> None:
        """Draw these."""
        self._parts = parts
        self.setFixedHeight(_ROW * max(1, len(parts)))
        self.setAccessibleName(self.tr("Size by part"))
        self.setAccessibleDescription(
            "; ".join(f"{part_title(part.part)}: {self._figures(part)}" for part in parts)
        )
        self.update()

    def _figures(self, part: PartSize) -> str:
        return self.tr("{} to {}").format(words.size(part.before), words.size(part.after))

    @override
    def sizeHint(self) -> QSize:
        return QSize(480, _ROW * max(1, len(self._parts)))

    @override
    def paintEvent(self, event: QPaintEvent) -> None:
        colours = tokens()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        largest = max((max(part.before, part.after) for part in self._parts), default=1) or 1
        room = max(40, self.width() - _NAME - _FIGURES)
        middle = Qt.AlignmentFlag.AlignVCenter
        for row, part in enumerate(self._parts):
            top = row * _ROW
            painter.setPen(QColor(colours.text))
            name = QRectF(0, top, _NAME, _ROW)
            painter.drawText(name, Qt.AlignmentFlag.AlignLeft | middle, part_title(part.part))
            painter.setPen(QColor(colours.secondary))
            figures = QRectF(self.width() - _FIGURES, top, _FIGURES, _ROW)
            right = Qt.AlignmentFlag.AlignRight | middle
            painter.drawText(figures, right, self._figures(part))
            painter.setPen(Qt.PenStyle.NoPen)
            for nbytes, colour in ((part.before, colours.line), (part.after, colours.accent)):
                width = max(2.0, room * nbytes / largest)
                painter.setBrush(QColor(colour))
                painter.drawRoundedRect(QRectF(_NAME, top + _ROW / 2 - 4, width, 8), 3, 3)
        painter.end()
