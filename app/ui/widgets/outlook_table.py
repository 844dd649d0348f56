"""Kinds of models by formats: what runs on a computer, before a model is chosen."""

from __future__ import annotations

from PySide6.QtWidgets import QFrame, QGridLayout, QWidget

from app.ui.typical import FORMATS, SHAPES, Outlook
from app.ui.widgets.fit_mark import FitMark
from app.ui.widgets.text import label


class OutlookTable(QFrame):
    """A small table in a card; every answer has its reasons as a tip."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "card")
        self.setAccessibleName(self.tr("What this computer runs well"))
        self.marks: dict[tuple[str, str], FitMark] = {}
        grid = QGridLayout(self)
        grid.setContentsMargins(20, 14, 20, 14)
        grid.setHorizontalSpacing(16)
        grid.setVerticalSpacing(10)
        grid.setColumnStretch(0, 3)
        grid.addWidget(label(self.tr("Weights"), "secondary"), 0, 0)
        for column, (name, bits) in enumerate(FORMATS, 1):
            head = label(name, "secondary")
            head.setToolTip(self.tr("{} bits a weight").format(bits))
            grid.addWidget(head, 0, column)
            grid.setColumnStretch(column, 4)
        for row, shape in enumerate(SHAPES, 1):
            size = label(shape.title, "strong")
            size.setToolTip(self.tr("Like {}").format(shape.example))
            grid.addWidget(size, row, 0)
            for column, (name, _) in enumerate(FORMATS, 1):
                mark = FitMark(brief=True)
                mark.setMinimumWidth(60)
                grid.addWidget(mark, row, column)
                self.marks[shape.title, name] = mark

    def show_outlook(self, outlook: Outlook | None) -> None:
        """Fill the table; None empties it."""
        for (title, name), mark in self.marks.items():
            mark.show_fit(outlook.fits[title, name] if outlook else None, f"{title}, {name}")
