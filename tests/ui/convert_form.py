"""What tests of the page Convert read off it."""

from PySide6.QtCore import QModelIndex

MODEL = "/models/Qwen3-8B"


def rows(page):
    """The texts of all formats in the list, also of those that are folded away."""
    model = page.quality.formats.model()

    def cells(row, above):
        return [model.index(row, column, above).data() for column in range(model.columnCount())]

    found = []
    for place in range(model.rowCount()):
        above = model.index(place, 0)
        inside = [cells(row, above) for row in range(model.rowCount(above))]
        found += inside or [cells(place, QModelIndex())]
    return found


def place_of(page, preset, column=0):
    index = page.quality.formats.model().place(preset)
    return index.siblingAtColumn(column)


def type_path(qtbot, page, path):
    page.target.edit.selectAll()
    qtbot.keyClicks(page.target.edit, str(path))
