"""Draws the list of qualities: ticks, stars, thin bars for sizes, and folds."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication, QPointF, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics, QPainter, QPen
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem
from typing_extensions import override

from app.core.model import FormatChoice
from app.ui.icons import icon
from app.ui.table import ROW_ROLE, Index
from app.ui.theme import tokens
from app.ui.widgets.fit_mark import is_elsewhere, paint_fit
from app.ui.widgets.format_rows import FIT, FORMAT, LOSS, SHARE, FormatRows, SizeClass

ROW_HEIGHT = 38
_BOX = 16
_BOX_LEFT, _NAME_LEFT = 13, 40
_PERCENT_WIDTH = 56
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter


def _tr(text: str) -> str:
    return QCoreApplication.translate("FormatTable", text)


class FormatPainter(QStyledItemDelegate):
    """Everything in the first column is drawn here, so that ticks and folds stand in line."""

    @staticmethod
    def box(cell: QRect) -> QRect:
        """Where a click ticks, in the first cell of a row: the box and a little around it."""
        return QRect(cell.left(), cell.top(), _NAME_LEFT - 4, cell.height())

    @override
    def initStyleOption(self, option: QStyleOptionViewItem, index: Index) -> None:
        super().initStyleOption(option, index)
        row = index.data(ROW_ROLE)
        option.state &= ~QStyle.StateFlag.State_HasFocus
        option.features &= ~QStyleOptionViewItem.ViewItemFeature.HasCheckIndicator
        if index.column() == FORMAT:
            option.text = ""  # painted below
        elif not isinstance(row, FormatChoice):
            return
        elif index.column() == FIT and not row.problem:
            option.text = ""
        elif self._is_elsewhere(index) or (index.column() == LOSS and row.loss is None):
            option.palette.setColor(option.palette.ColorRole.Text, QColor(tokens().disabled))

    @override
    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        super().paint(painter, option, index)
        row = index.data(ROW_ROLE)
        place: QRect = option.rect
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if isinstance(row, SizeClass):
            self._paint_class(painter, option, index)
        elif index.column() == FORMAT:
            self._paint_format(painter, option, index)
        elif index.column() == SHARE and not row.problem:
            self._paint_bar(painter, place, index)
        elif index.column() == FIT and not row.problem:
            fit = self._rows(index).fits.get(row.preset)
            if fit is not None:
                why = fit.reason if is_elsewhere(fit) else ""
                paint_fit(painter, place.adjusted(13, 0, -8, 0), fit, why)
        painter.restore()

    def _is_elsewhere(self, index: Index) -> bool:
        return is_elsewhere(self._rows(index).fits.get(index.data(ROW_ROLE).preset))

    @staticmethod
    def _rows(index: Index) -> FormatRows:
        rows = index.model()
        assert isinstance(rows, FormatRows)
        return rows

    @staticmethod
    def _paint_class(painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        colours, place = tokens(), option.rect
        is_open = bool(option.state & QStyle.StateFlag.State_Open)
        sign = icon("chevron-down" if is_open else "chevron-right", colours.secondary, 16)
        sign.paint(painter, QRect(_BOX_LEFT, place.center().y() - 7, 16, 16))
        row: SizeClass = index.data(ROW_ROLE)
        painter.setPen(QColor(colours.text))
        title = row.title[:1].upper() + row.title[1:]
        painter.setFont(_bold(option.font))
        painter.drawText(place.adjusted(_NAME_LEFT, 0, 0, 0), _LEFT, title)
        after = _NAME_LEFT + QFontMetrics(_bold(option.font)).horizontalAdvance(title) + 16
        painter.setFont(option.font)
        painter.setPen(QColor(colours.secondary))
        painter.drawText(place.adjusted(after, 0, 0, 0), _LEFT, row.summary)

    def _paint_format(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        colours, rows, place = tokens(), self._rows(index), option.rect
        row: FormatChoice = index.data(ROW_ROLE)
        if not row.problem:
            self._paint_box(painter, place, is_ticked=row.preset in rows.ticked)
        font = _bold(option.font)
        painter.setFont(font)
        is_quiet = row.problem or self._is_elsewhere(index)
        painter.setPen(QColor(colours.disabled if is_quiet else colours.text))
        painter.drawText(place.adjusted(_NAME_LEFT, 0, 0, 0), _LEFT, row.preset)
        if row.preset == rows.best:
            after = _NAME_LEFT + QFontMetrics(font).horizontalAdvance(row.preset) + 10
            painter.setFont(option.font)
            painter.setPen(QColor(colours.accent))
            star = "★ " + _tr("recommended")
            if after + QFontMetrics(option.font).horizontalAdvance(star) > place.width():
                star = "★"
            painter.drawText(place.adjusted(after, 0, 0, 0), _LEFT, star)

    @staticmethod
    def _paint_box(painter: QPainter, cell: QRect, *, is_ticked: bool) -> None:
        colours = tokens()
        top = cell.center().y() - _BOX // 2 + 1
        box = QRectF(cell.left() + _BOX_LEFT + 0.5, top + 0.5, _BOX - 1, _BOX - 1)
        painter.setPen(QPen(QColor(colours.accent if is_ticked else colours.control), 1))
        painter.setBrush(QColor(colours.accent if is_ticked else colours.surface))
        painter.drawRoundedRect(box, 4, 4)
        if is_ticked:
            painter.setPen(QPen(QColor(colours.on_accent), 2))
            start = box.topLeft()
            painter.drawPolyline(
                [start + QPointF(3.5, 8), start + QPointF(6.5, 11), start + QPointF(11.5, 4.5)]
            )

    def _paint_bar(self, painter: QPainter, place: QRect, index: Index) -> None:
        rows, colours = self._rows(index), tokens()
        row: FormatChoice = index.data(ROW_ROLE)
        left = place.left() + _PERCENT_WIDTH
        track = QRect(left, place.center().y() - 1, place.right() - left - 6, 4)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(colours.line))
        painter.drawRoundedRect(track, 2, 2)
        track.setWidth(max(4, round(track.width() * min(1.0, rows.share(row)))))
        painter.setBrush(QColor(colours.accent if row.preset == rows.best else colours.secondary))
        painter.drawRoundedRect(track, 2, 2)

    @override
    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(super().sizeHint(option, index).width(), ROW_HEIGHT)


def _bold(font: QFont) -> QFont:
    result = QFont(font)
    result.setWeight(QFont.Weight.DemiBold)
    return result
