"""What every tensor becomes, before anything is made: one row for those that are alike."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from app.core import words
from app.ui.plans import TensorKind
from app.ui.table import Column, SortedRows, TableModel

_ROW = 28
_MOST_ROWS = 14


def _tr(text: str) -> str:
    return QCoreApplication.translate("PlanTable", text)


def _columns() -> tuple[Column[TensorKind], ...]:
    return (
        Column(_tr("Tensors"), lambda row: row.name, lambda row: row.name),
        Column(_tr("Number"), lambda row: str(row.count), lambda row: row.count, is_number=True),
        Column(_tr("Type"), lambda row: row.encoding, lambda row: row.encoding),
        Column(_tr("Instead of"), lambda row: row.wanted, lambda row: row.wanted),
        Column(
            _tr("Size"), lambda row: words.size(row.nbytes), lambda row: row.nbytes, is_number=True
        ),
    )


class PlanTable(QTableView):
    """Sorts by any column; the largest come first."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = TableModel(
            _columns(), key=lambda row: (row.name, row.encoding, row.wanted), parent=self
        )
        self.setModel(SortedRows(self._model, self))
        self.setAccessibleName(self.tr("Types of the tensors"))
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setShowGrid(False)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        self.setSortingEnabled(True)
        self.sortByColumn(4, Qt.SortOrder.DescendingOrder)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(_ROW)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        for column, width in ((1, 90), (2, 100), (3, 110), (4, 100)):
            self.setColumnWidth(column, width)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.show_kinds(())

    def show_kinds(self, kinds: Sequence[TensorKind]) -> None:
        """List these."""
        self._model.set_rows(kinds)
        rows = max(1, min(len(kinds), _MOST_ROWS))
        self.setFixedHeight(self.horizontalHeader().sizeHint().height() + rows * _ROW + 6)
