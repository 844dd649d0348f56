"""A list of models to choose from: two lines each, and whether they run here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QCoreApplication, QModelIndex, QRect, QSize, Qt, Signal, Slot
from PySide6.QtGui import QColor, QFont, QFontMetrics, QPainter
from PySide6.QtWidgets import (
    QFrame,
    QListView,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)
from typing_extensions import override

from app.core.fit import Fit
from app.ui.icons import icon
from app.ui.table import ROW_ROLE, Column, Index, TableModel
from app.ui.theme import tokens
from app.ui.widgets.fit_mark import fit_text, fit_tip, paint_fit
from app.ui.widgets.text import label

_ROW = 76


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One model in the list."""

    key: str
    """Its name on the hub, or its path."""
    title: str
    facts: str
    """The line below the title."""
    fit: Fit | None = None
    """An estimate; None where the size is not known."""
    is_favourite: bool = False
    is_gated: bool = False
    is_local: bool = False


class _Rows(TableModel[ModelRow]):
    @override
    def tip(self, row: ModelRow) -> str:
        if row.fit is None:
            return row.key
        usual = QCoreApplication.translate("ModelList", "In the usual format, estimated:")
        return f"{row.key}\n\n{usual}\n{fit_tip(row.fit)}"


def _in_words(row: ModelRow) -> str:
    parts = [row.title, row.facts]
    parts += [fit_text(row.fit)] if row.fit else []
    return ", ".join(parts)


class ModelList(QListView):
    """Keyboard and type-ahead come with the view."""

    chosen = Signal(object)
    """ModelRow"""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        columns: tuple[Column[ModelRow], ...] = (
            Column(self.tr("Model"), _in_words, lambda row: row.title),
        )
        self.rows = _Rows(columns, key=lambda row: row.key, parent=self)
        self.setModel(self.rows)
        self.setItemDelegate(_Painter(self))
        self.setMouseTracking(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        self.setAccessibleName(self.tr("Models"))
        self.selectionModel().currentChanged.connect(self._on_current)

    def show_rows(self, rows: Sequence[ModelRow]) -> None:
        """List these; what was chosen stays chosen, and nothing is announced."""
        current = self.row()
        place = self.verticalScrollBar().value()
        self.selectionModel().blockSignals(True)
        self.rows.set_rows(rows)
        index = self.rows.find(current.key) if current else None
        if index is not None:
            self.setCurrentIndex(self.rows.index(index, 0))
        self.selectionModel().blockSignals(False)
        self.verticalScrollBar().setValue(place)
        self.viewport().update()

    def row(self) -> ModelRow | None:
        """The chosen one."""
        found = self.currentIndex().data(ROW_ROLE)
        return found if isinstance(found, ModelRow) else None

    def choose(self, key: str) -> None:
        """Choose a model by its key, if it is listed."""
        place = self.rows.find(key)
        if place is not None:
            self.setCurrentIndex(self.rows.index(place, 0))

    @Slot(QModelIndex, QModelIndex)
    def _on_current(self, current: QModelIndex, _previous: QModelIndex) -> None:
        row = current.data(ROW_ROLE)
        if isinstance(row, ModelRow):
            self.chosen.emit(row)


class _Painter(QStyledItemDelegate):
    """Title; facts; fit."""

    @override
    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        row: ModelRow = index.data(ROW_ROLE)
        self.initStyleOption(option, index)
        option.text = ""
        style = option.widget.style()
        style.drawControl(style.ControlElement.CE_ItemViewItem, option, painter, option.widget)
        painter.save()
        place = option.rect.adjusted(12, 9, -12, -9)
        height = place.height() // 3
        font = QFont(option.font)
        font.setWeight(QFont.Weight.DemiBold)
        painter.setFont(font)
        painter.setPen(QColor(tokens().text))
        right = self._paint_signs(painter, place, row)
        title = QRect(place.left(), place.top(), right - place.left(), height)
        self._line(painter, title, row.title)
        font.setWeight(QFont.Weight.Normal)
        painter.setFont(font)
        third = QRect(place.left(), place.top() + 2 * height + 1, place.width(), height)
        if row.fit is not None:
            paint_fit(painter, third, row.fit)
        font.setPixelSize(font.pixelSize() - 1)
        painter.setFont(font)
        painter.setPen(QColor(tokens().secondary))
        self._line(painter, third.translated(0, -height), row.facts)
        painter.restore()

    def _paint_signs(self, painter: QPainter, place: QRect, row: ModelRow) -> int:
        """Star and lock in the upper right corner; returns where they begin."""
        right = place.right()
        for name, shown, tone in (
            ("star-filled", row.is_favourite, tokens().accent),
            ("lock", row.is_gated, tokens().secondary),
        ):
            if shown:
                right -= 18
                icon(name, tone, 16).paint(painter, right, place.top() + 1, 16, 16)
        return right - 4

    def _line(self, painter: QPainter, place: QRect, text: str) -> None:
        metrics = QFontMetrics(painter.font())
        shown = metrics.elidedText(text, Qt.TextElideMode.ElideRight, place.width())
        painter.drawText(place, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, shown)

    @override
    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(200, _ROW)


class ListOutline(QWidget):
    """Rows whose content is on its way."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(self.tr("Still looking"))
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 12, 16, 12)
        column.setSpacing(8)
        column.addWidget(label(self.tr("Still looking"), "secondary"))
        for _ in range(4):
            column.addSpacing(10)
            for width in (190, 260):
                bar = QFrame()
                bar.setProperty("role", "skeleton")
                bar.setFixedSize(width, 14)
                column.addWidget(bar)
        column.addStretch()
