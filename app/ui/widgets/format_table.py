"""The list of qualities: every format that the model can have, with exact sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PySide6.QtCore import (
    QCoreApplication,
    QItemSelectionModel,
    QModelIndex,
    QRect,
    QSize,
    Qt,
    Signal,
    Slot,
)
from PySide6.QtGui import (
    QColor,
    QFont,
    QFontMetrics,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QResizeEvent,
)
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)
from typing_extensions import override

from app.core import words
from app.core.fit import Fit, FitWord
from app.core.model import FormatChoice
from app.ui.table import ROW_ROLE, Column, Index, SortedRows, TableModel
from app.ui.theme import tokens
from app.ui.widgets.fit_mark import ORDER, fit_text, fit_tip, paint_fit

_ROW = 38
_FORMAT, _SIZE, _SHARE, _BITS, _QUALITY, _FIT = range(6)
_WIDTHS = {_FORMAT: 190, _SIZE: 84, _SHARE: 136, _BITS: 60, _QUALITY: 208}
_NARROW = 900
"""Below this width the share and the bits are left out; the size says nearly the same."""


_WORTH_MAKING = 0.8
"""A result that is larger than this part of the original is not recommended."""


def _tr(text: str) -> str:
    return QCoreApplication.translate("FormatTable", text)


def shortlist(choices: tuple[FormatChoice, ...]) -> set[str]:
    """One format a quality word: the recommended one, or else the smallest that works."""
    best: dict[str, FormatChoice] = {}
    for choice in choices:
        old = best.get(choice.quality)
        if choice.problem or (old is not None and old.recommended):
            continue
        if old is None or choice.recommended or choice.nbytes < old.nbytes:
            best[choice.quality] = choice
    return {choice.preset for choice in best.values()}


def best_choice(choices: Sequence[FormatChoice], fits: Mapping[str, Fit], source_bytes: int) -> str:
    """The format to recommend: the best that fits well and is worth making, or the usual one."""
    working = [choice for choice in choices if choice.problem is None]
    fitting = [
        choice
        for choice in working
        if choice.nbytes <= _WORTH_MAKING * source_bytes
        and choice.preset in fits
        and fits[choice.preset].word is FitWord.FITS
    ]
    if fitting:
        return max(fitting, key=lambda choice: choice.bits_per_weight).preset
    usual = next((choice for choice in working if choice.recommended), None)
    first = usual or (working[0] if working else None)
    return first.preset if first else ""


class _Choices(TableModel[FormatChoice]):
    """Formats that this model cannot have are there, but cannot be chosen."""

    fits: Mapping[str, Fit]

    @override
    def is_enabled(self, row: FormatChoice) -> bool:
        return row.problem is None

    @override
    def tip(self, row: FormatChoice) -> str:
        if row.problem:
            return f"{row.problem.title} {row.problem.hint}".strip()
        fit = self.fits.get(row.preset)
        about = _tr("{} Runs in {}.").format(row.summary, row.runs_in)
        return f"{about}\n\n{fit_tip(fit)}" if fit else about


class FormatTable(QTableView):
    """One row a format. Keyboard, sorting and type-ahead come with the view."""

    chosen = Signal(object)
    """FormatChoice"""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._source = 1
        self._short: set[str] = set()
        self._choices: tuple[FormatChoice, ...] = ()
        self._all = False
        self._best = ""
        self._is_own_choice = False  # the user's, which no later news may change
        self._model = _Choices(self._columns(), key=lambda row: row.preset, parent=self)
        self._model.fits = {}
        self._rows = SortedRows(self._model, self)
        self.setModel(self._rows)
        self.setAccessibleName(self.tr("Qualities"))
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        self.setMouseTracking(True)
        self.setSortingEnabled(True)
        self.sortByColumn(_SIZE, Qt.SortOrder.DescendingOrder)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(_ROW)
        self.setItemDelegate(_Painter(self))
        self._set_widths()
        self.selectionModel().currentRowChanged.connect(self._on_current)

    def show_choices(self, choices: tuple[FormatChoice, ...], source_bytes: int) -> None:
        """List these, and choose the recommended one."""
        self._source = max(1, source_bytes)
        self._choices = choices
        self._is_own_choice = False
        self._model.fits = {}
        self._recommend()
        self._model.set_rows(choices)
        self.show_all(self._all)
        self._choose_best()

    def show_fits(self, fits: Mapping[str, Fit]) -> None:
        """Say for each format whether it runs; choose the recommended one, unless the user has."""
        current = self.choice()
        self._model.fits = fits
        self._recommend()
        self._model.repaint_all()
        self.show_all(self._all)
        if self._is_own_choice and current:
            self._choose(current.preset)
        else:
            self._choose_best()

    def fit(self, preset: str) -> Fit | None:
        """Whether a format runs, where that is known."""
        return self._model.fits.get(preset)

    def is_best(self, choice: FormatChoice) -> bool:
        """Whether this is the one to recommend here."""
        return choice.preset == self._best

    def _recommend(self) -> None:
        self._best = best_choice(self._choices, self._model.fits, self._source)
        same = {choice.quality for choice in self._choices if choice.preset == self._best}
        others = tuple(choice for choice in self._choices if choice.quality not in same)
        self._short = shortlist(others) | ({self._best} if self._best else set())

    def _choose_best(self) -> None:
        if self._best:
            self._choose(self._best)

    def show_all(self, everything: bool) -> None:
        """Show every format, or one a quality."""
        self._all = everything
        current = self.choice()
        keep = self._short | ({current.preset} if current else set())
        self._rows.keep(lambda row: everything or not keep or row.preset in keep)
        if current:
            self._choose(current.preset)
        self._fit_height()

    def choose(self, preset: str) -> None:
        """Select a format by its name; one that is hidden or impossible is left alone."""
        self._is_own_choice = True
        self._choose(preset)

    def _choose(self, preset: str) -> None:
        place = self._model.find(preset)
        if place is None:
            return
        index = self._rows.mapFromSource(self._model.index(place, 0))
        if not index.flags() & Qt.ItemFlag.ItemIsEnabled:
            return
        flags = QItemSelectionModel.SelectionFlag
        self.selectionModel().setCurrentIndex(index, flags.ClearAndSelect | flags.Rows)

    def choice(self) -> FormatChoice | None:
        """The selected format."""
        row = self.currentIndex().data(ROW_ROLE)
        return row if isinstance(row, FormatChoice) and row.problem is None else None

    @property
    def hidden_rows(self) -> int:
        """How many formats the short list leaves out."""
        return self._model.rowCount() - self._rows.rowCount()

    def share(self, choice: FormatChoice) -> float:
        """Its size as part of the original's."""
        return choice.nbytes / self._source

    def _columns(self) -> tuple[Column[FormatChoice], ...]:
        def known(row: FormatChoice, text: str) -> str:
            return "" if row.problem else text

        return (
            Column(self.tr("Format"), lambda row: row.preset, lambda row: row.preset),
            Column(
                self.tr("Size"),
                lambda row: known(row, words.size(row.nbytes)),
                lambda row: row.nbytes,
                is_number=True,
            ),
            Column(
                self.tr("Of the original"),
                lambda row: known(row, f"{100 * self.share(row):.0f} %"),
                lambda row: row.nbytes,
            ),
            Column(
                self.tr("Bits"),
                lambda row: known(row, f"{row.bits_per_weight:.1f}"),
                lambda row: row.bits_per_weight,
                is_number=True,
            ),
            Column(
                self.tr("Quality"),
                self._quality,
                lambda row: row.bits_per_weight,
            ),
            Column(self.tr("Runs here"), self._fit_text, self._fit_order),
        )

    def _quality(self, row: FormatChoice) -> str:
        return self.tr("not possible") if row.problem else row.quality

    def _fit_text(self, row: FormatChoice) -> str:
        if row.problem:
            return row.problem.title
        fit = self.fit(row.preset)
        return fit_text(fit) if fit else ""

    def _fit_order(self, row: FormatChoice) -> tuple[int, int]:
        fit = self.fit(row.preset)
        return (ORDER[fit.word] if fit else len(ORDER), row.nbytes)

    def _set_widths(self) -> None:
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(_FIT, QHeaderView.ResizeMode.Stretch)
        for column, width in _WIDTHS.items():
            self.setColumnWidth(column, width)

    def _fit_height(self) -> None:
        rows = self._rows.rowCount() * _ROW
        self.setFixedHeight(self.horizontalHeader().sizeHint().height() + rows + 4)

    @override
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        for column in (_SHARE, _BITS):
            self.setColumnHidden(column, self.width() < _NARROW)

    @Slot(QModelIndex, QModelIndex)
    def _on_current(self, _current: QModelIndex, _previous: QModelIndex) -> None:
        choice = self.choice()
        if choice is not None:
            self.chosen.emit(choice)

    @override
    def mousePressEvent(self, event: QMouseEvent) -> None:
        self._is_own_choice = True
        super().mousePressEvent(event)

    @override
    def keyPressEvent(self, event: QKeyEvent) -> None:
        before = self.currentIndex()
        super().keyPressEvent(event)
        self._is_own_choice |= self.currentIndex() != before


class _Painter(QStyledItemDelegate):
    """Draws the name with its recommendation, and the share as a thin bar."""

    @override
    def initStyleOption(self, option: QStyleOptionViewItem, index: Index) -> None:
        super().initStyleOption(option, index)
        option.state &= ~QStyle.StateFlag.State_HasFocus
        if index.column() == _FORMAT:
            option.font.setWeight(QFont.Weight.DemiBold)
        elif index.column() == _FIT and not index.data(ROW_ROLE).problem:
            option.text = ""  # painted below

    @override
    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        super().paint(painter, option, index)
        choice = index.data(ROW_ROLE)
        place: QRect = option.rect
        if choice.problem:
            return
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if index.column() == _SHARE:
            self._paint_bar(painter, place, choice)
        elif index.column() == _FIT:
            self._paint_fit(painter, place, choice)
        elif index.column() == _FORMAT and self._table().is_best(choice):
            bold = QFont(option.font)
            bold.setWeight(QFont.Weight.DemiBold)
            after = QFontMetrics(bold).horizontalAdvance(choice.preset) + 28
            painter.setPen(QColor(tokens().accent))
            painter.drawText(place.adjusted(after, 0, 0, 0), _LEFT, "★ " + _tr("recommended"))
        painter.restore()

    def _table(self) -> FormatTable:
        table = self.parent()
        assert isinstance(table, FormatTable)
        return table

    def _paint_fit(self, painter: QPainter, place: QRect, choice: FormatChoice) -> None:
        fit = self._table().fit(choice.preset)
        if fit is not None:
            paint_fit(painter, place.adjusted(13, 0, -8, 0), fit)

    def _paint_bar(self, painter: QPainter, place: QRect, choice: FormatChoice) -> None:
        table = self._table()
        colours = tokens()
        track = QRect(place.left() + 60, place.center().y() - 1, place.width() - 76, 4)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(colours.line))
        painter.drawRoundedRect(track, 2, 2)
        track.setWidth(max(4, round(track.width() * min(1.0, table.share(choice)))))
        painter.setBrush(QColor(colours.accent if table.is_best(choice) else colours.secondary))
        painter.drawRoundedRect(track, 2, 2)

    @override
    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(super().sizeHint(option, index).width(), _ROW)


_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
