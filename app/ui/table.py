"""One table model for every list in the window."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from PySide6.QtCore import (
    QAbstractTableModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QSortFilterProxyModel,
    Qt,
)
from typing_extensions import override

Row = TypeVar("Row")
Index = QModelIndex | QPersistentModelIndex

SORT_ROLE = Qt.ItemDataRole.UserRole
ROW_ROLE = Qt.ItemDataRole.UserRole + 1

_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter


@dataclass(frozen=True, slots=True)
class Column(Generic[Row]):
    """A heading, how to show a row under it, and what to sort by."""

    title: str
    text: Callable[[Row], str]
    sort: Callable[[Row], Any]
    is_number: bool = False
    """Numbers stand to the right."""


class TableModel(QAbstractTableModel, Generic[Row]):
    """Rows of any dataclass, shown through declared columns, found by their key."""

    def __init__(
        self,
        columns: Sequence[Column[Row]],
        key: Callable[[Row], Hashable],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._columns = tuple(columns)
        self._key = key
        self._rows: list[Row] = []

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Replace everything."""
        self.beginResetModel()
        self._rows = list(rows)
        self.endResetModel()

    def put(self, row: Row) -> None:
        """Replace the row with the same key and repaint only it, or append it."""
        place = self.find(self._key(row))
        if place is None:
            end = len(self._rows)
            self.beginInsertRows(QModelIndex(), end, end)
            self._rows.append(row)
            self.endInsertRows()
            return
        self._rows[place] = row
        self.dataChanged.emit(self.index(place, 0), self.index(place, self.columnCount() - 1))

    def repaint_all(self) -> None:
        """Ask every row again for its texts; the rows themselves are the same."""
        if self._rows:
            end = self.index(len(self._rows) - 1, self.columnCount() - 1)
            self.dataChanged.emit(self.index(0, 0), end)

    def find(self, key: Hashable) -> int | None:
        """Number of the row with this key."""
        keys = (self._key(row) for row in self._rows)
        return next((place for place, found in enumerate(keys) if found == key), None)

    def is_enabled(self, row: Row) -> bool:  # noqa: ARG002 - for subclasses
        """Whether the row can be chosen."""
        return True

    def tip(self, row: Row) -> str:  # noqa: ARG002 - for subclasses
        """What hovering over the row says."""
        return ""

    @override
    def flags(self, index: Index) -> Qt.ItemFlag:
        flags = super().flags(index)
        if index.isValid() and not self.is_enabled(self._rows[index.row()]):
            flags &= ~(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable)
        return flags

    @override
    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's signature
        return 0 if parent.isValid() else len(self._rows)

    @override
    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's signature
        return 0 if parent.isValid() else len(self._columns)

    @override
    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        answer = _ANSWERS.get(role)
        if answer is None:
            return None
        return answer(self, self._rows[index.row()], self._columns[index.column()])

    @override
    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _side(self._columns[section])
        return self._columns[section].title if role == Qt.ItemDataRole.DisplayRole else None


#: What a model says of a row and a column by role; a table, because views ask very often.
_ANSWERS: dict[int, Callable[[TableModel[Any], Any, Column[Any]], Any]] = {
    int(Qt.ItemDataRole.DisplayRole): lambda _, row, column: column.text(row),
    int(Qt.ItemDataRole.TextAlignmentRole): lambda _, __, column: _side(column),
    int(Qt.ItemDataRole.ToolTipRole): lambda model, row, _: model.tip(row) or None,
    int(Qt.ItemDataRole.AccessibleTextRole): lambda _, row, column: (
        f"{column.title}: {column.text(row)}"
    ),
    int(SORT_ROLE): lambda _, row, column: column.sort(row),
    int(ROW_ROLE): lambda _, row, __: row,
}


def _side(column: Column[Any]) -> Qt.AlignmentFlag:
    return _RIGHT if column.is_number else _LEFT


class SortedRows(QSortFilterProxyModel):
    """A view of a `TableModel` that sorts by value and keeps the rows that `wanted` accepts."""

    def __init__(self, model: TableModel[Any], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._wanted: Callable[[Any], bool] = lambda _: True
        self.setSourceModel(model)
        self.setSortRole(SORT_ROLE)

    def keep(self, wanted: Callable[[Any], bool]) -> None:
        """Show only these rows."""
        self.beginFilterChange()
        self._wanted = wanted
        self.endFilterChange()

    @override
    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Marks the sorted column in its own text, where it has a place."""
        title = super().headerData(section, orientation, role)
        if role != Qt.ItemDataRole.DisplayRole or section != self.sortColumn():
            return title
        return f"{title} {'↑' if self.sortOrder() == Qt.SortOrder.AscendingOrder else '↓'}"

    @override
    def filterAcceptsRow(self, source_row: int, source_parent: Index) -> bool:
        index = self.sourceModel().index(source_row, 0, source_parent)
        return self._wanted(index.data(ROW_ROLE))

    @override
    def lessThan(self, left: Index, right: Index) -> bool:
        return bool(left.data(SORT_ROLE) < right.data(SORT_ROLE))
