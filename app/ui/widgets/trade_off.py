"""All results of one model: how much smaller, against how much worse."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget
from typing_extensions import override

from app.core import words
from app.evaluation.verdict import figure
from app.ui.theme import tokens

_HEIGHT = 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 72, 12, 44
_LEAST_KL = 1e-5  # a logarithm needs an end
_DOT = 5


@dataclass(frozen=True, slots=True)
class Point:
    """One measured result."""

    job_id: str
    preset: str
    nbytes: int
    kl: float
    """Mean KL divergence, nats."""


class TradeOff(QWidget):
    """Size from left to right, loss upward on a logarithmic scale; low and left is best."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._points: list[Point] = []
        self._current = ""
        self.setFixedHeight(_HEIGHT)
        self.setAccessibleName(self.tr("Size against loss"))

    def show_points(self, points: Sequence[Point], current: str) -> None:
        """Draw these; the result of the job `current` is the strong one."""
        self._points = sorted(points, key=lambda point: point.nbytes)
        self._current = current
        self.setAccessibleDescription(
            "; ".join(
                f"{point.preset}: {words.size(point.nbytes)}, KL {figure(point.kl)}"
                for point in self._points
            )
        )
        self.update()

    def _area(self) -> QRectF:
        return QRectF(_LEFT, _TOP, self.width() - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM)

    def _decades(self) -> tuple[int, int]:
        """The powers of ten that the losses lie between."""
        logs = [math.log10(max(_LEAST_KL, point.kl)) for point in self._points]
        low, high = math.floor(min(logs)), math.ceil(max(logs))
        return low, max(high, low + 1)

    def _at(self, point: Point) -> QPointF:
        area, (low, high) = self._area(), self._decades()
        largest = self._points[-1].nbytes or 1
        up = (math.log10(max(_LEAST_KL, point.kl)) - low) / (high - low)
        return QPointF(
            area.left() + area.width() * point.nbytes / largest, area.bottom() - area.height() * up
        )

    @override
    def paintEvent(self, event: QPaintEvent) -> None:
        if not self._points:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._paint_axes(painter)
        self._paint_points(painter)
        painter.end()

    def _paint_axes(self, painter: QPainter) -> None:
        colours, area, (low, high) = tokens(), self._area(), self._decades()
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        for decade in range(low, high + 1):
            y = area.bottom() - area.height() * (decade - low) / (high - low)
            painter.setPen(QColor(colours.line))
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
            painter.setPen(QColor(colours.secondary))
            text = f"{10.0**decade:.{max(0, -decade)}f}"
            painter.drawText(QRectF(0, y - 10, _LEFT - 10, 20), right, text)
        largest = self._points[-1].nbytes
        for share in (0.0, 0.5, 1.0):
            x = area.left() + area.width() * share
            place = QRectF(x - 50, area.bottom() + 4, 100, 18)
            text = words.size(largest * share) if share else "0"
            painter.drawText(place, Qt.AlignmentFlag.AlignCenter, text)
        place = QRectF(area.left(), area.bottom() + 22, area.width(), 18)
        painter.drawText(
            place,
            Qt.AlignmentFlag.AlignCenter,
            self.tr("Size of the file; upward: KL divergence, lower is better"),
        )

    def _paint_points(self, painter: QPainter) -> None:
        colours = tokens()
        painter.setPen(QPen(QColor(colours.control), 1, Qt.PenStyle.DashLine))
        painter.drawPolyline([self._at(point) for point in self._points])
        for point in self._points:
            at, strong = self._at(point), point.job_id == self._current
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(colours.accent if strong else colours.secondary))
            size = _DOT + 1 if strong else _DOT - 1
            painter.drawEllipse(at, size, size)
            painter.setPen(QColor(colours.text if strong else colours.secondary))
            place = QRectF(at.x() + 10, at.y() - 20, 90, 18)
            flags = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
            painter.drawText(place, flags, point.preset)
