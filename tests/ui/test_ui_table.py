from dataclasses import dataclass

import pytest
from PySide6.QtCore import Qt

from app.ui.table import ROW_ROLE, SORT_ROLE, Column, SortedRows, TableModel


@dataclass(frozen=True)
class Item:
    name: str
    size: int


COLUMNS = (
    Column("Name", lambda row: row.name, lambda row: row.name),
    Column("Size", lambda row: f"{row.size} kB", lambda row: row.size, is_number=True),
)
ITEMS = [Item("a", 9), Item("b", 80), Item("c", 100)]


@pytest.fixture
def model(qapp):
    model = TableModel(COLUMNS, key=lambda row: row.name)
    model.set_rows(ITEMS)
    return model


def test_that_putting_a_known_row_repaints_only_that_row(model, qtbot, qtmodeltester):
    qtmodeltester.check(model)
    with qtbot.waitSignal(model.dataChanged) as changed:
        model.put(Item("b", 81))
    assert (changed.args[0].row(), changed.args[1].row()) == (1, 1)
    assert model.index(1, 1).data() == "81 kB"
    assert model.index(2, 0).data(ROW_ROLE) is ITEMS[2]


def test_that_an_unknown_row_is_appended(model):
    model.put(Item("d", 1))
    assert model.rowCount() == 4
    assert model.index(3, 0).data(SORT_ROLE) == "d"


def test_that_numbers_sort_as_numbers_and_the_heading_says_so(model):
    rows = SortedRows(model)
    rows.sort(1, Qt.SortOrder.DescendingOrder)
    assert [rows.index(row, 1).data() for row in range(3)] == ["100 kB", "80 kB", "9 kB"]
    assert rows.headerData(1, Qt.Orientation.Horizontal) == "Size ↓"
    assert rows.headerData(0, Qt.Orientation.Horizontal) == "Name"


def test_that_rows_that_are_not_wanted_are_not_shown(model):
    rows = SortedRows(model)
    rows.keep(lambda row: row.size > 50)
    assert [rows.index(row, 0).data() for row in range(rows.rowCount())] == ["b", "c"]


def test_that_a_screen_reader_hears_the_heading_with_the_value(model):
    assert model.index(0, 1).data(Qt.ItemDataRole.AccessibleTextRole) == "Size: 9 kB"
