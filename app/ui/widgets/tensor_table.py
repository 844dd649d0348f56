"""Every tensor of a result in a table."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget
from typing_extensions import override

from app.core import words
from app.core.report import TensorResult
from app.ui.table import Column, SortedRows, TableModel

_SHAPE, _ERROR = 2, 5
_NARROW = 560  # px
_ROW = 28


def _tr(text: str) -> str:
    return QCoreApplication.translate("TensorTable", text)


def _columns() -> tuple[Column[TensorResult], ...]:
    return (
        Column(_tr("Tensor"), lambda row: row.name.removesuffix(".weight"), lambda row: row.name),
        Column(_tr("Format"), lambda row: row.encoding, lambda row: row.encoding),
        Column(
            _tr("Shape"),
            lambda row: " \N{MULTIPLICATION SIGN} ".join(str(size) for size in row.shape),
            lambda row: row.before,
            is_number=True,
        ),
        Column(
            _tr("Before"),
            lambda row: words.size(row.before),
            lambda row: row.before,
            is_number=True,
        ),
        Column(
            _tr("After"), lambda row: words.size(row.after), lambda row: row.after, is_number=True
        ),
        Column(
            _tr("Error"),
            lambda row: words.percent(row.error),
            lambda row: row.error,
            is_number=True,
        ),
    )


class _Tensors(TableModel[TensorResult]):
    @override
    def tip(self, row: TensorResult) -> str:
        if not row.wanted:
            return ""
        return _tr("{} was wanted, but its rows do not divide into such blocks.").format(row.wanted)


class TensorTable(QTableView):
    """Sorts by any column; the worst tensors come first."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = _Tensors(_columns(), key=lambda row: row.name, parent=self)
        self.setModel(SortedRows(self._model, self))
        self.setAccessibleName(self.tr("Tensors"))
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setShowGrid(False)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        self.setSortingEnabled(True)
        self.sortByColumn(_ERROR, Qt.SortOrder.DescendingOrder)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(_ROW)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setResizeContentsPrecision(16)  # rows that are looked at; all of them take long
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)

    @override
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.setColumnHidden(_SHAPE, self.width() < _NARROW)

    def show_tensors(self, tensors: Sequence[TensorResult]) -> None:
        """List these."""
        self._model.set_rows(tensors)
        rows = min(len(tensors), 12)
        self.setFixedHeight(self.horizontalHeader().sizeHint().height() + rows * _ROW + 6)
