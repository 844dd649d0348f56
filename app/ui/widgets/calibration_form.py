"""What a method is shown of a model at work: a text, and how much of it."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QComboBox, QFileDialog, QSpinBox, QWidget

from app.ui.widgets.marked_grid import MarkedGrid

_SHIPPED, _OWN = 0, 1
_MOST_SAMPLES, _MOST_LENGTH, _MOST_SEED = 65_536, 131_072, 2**31 - 1


class CalibrationForm(QWidget):
    """0 stands for what is usual."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._path = ""
        self.text = QComboBox()
        self.text.addItems([self.tr("Nibble's text"), self.tr("My text or chats...")])
        self.text.activated.connect(self._on_text)
        self.samples = self._count(_MOST_SAMPLES)
        self.length = self._count(_MOST_LENGTH)
        self.seed = self._count(_MOST_SEED)
        self._grid = MarkedGrid()
        for key, name, control, about in (
            ("text", self.tr("Text"), self.text, self.tr("What the method sees the model read")),
            (
                "samples",
                self.tr("Pieces"),
                self.samples,
                self.tr("More of them take longer, and less is lost"),
            ),
            (
                "length",
                self.tr("Tokens a piece"),
                self.length,
                self.tr("Most words are one"),
            ),
            ("seed", self.tr("Seed"), self.seed, self.tr("Another one takes other pieces")),
        ):
            self._grid.add(key, name, control, about)
        self.setLayout(self._grid)

    @property
    def path(self) -> str:
        """Of the user's text; "" for the one that is shipped."""
        return self._path if self.text.currentIndex() == _OWN else ""

    @property
    def is_usual(self) -> bool:
        """Whether nothing differs from the defaults."""
        return not self._differing()

    def show_text(self, path: str) -> None:
        """Take a text of the user's."""
        self._path = path
        self.text.setItemText(_OWN, Path(path).name)
        self.text.setCurrentIndex(_OWN)
        self._on_change()

    @Slot(int)
    def _on_text(self, place: int) -> None:
        if place == _OWN:
            title, kinds = self.tr("Choose a text or chats"), self.tr("Texts (*.txt *.md *.jsonl)")
            path, _ = QFileDialog.getOpenFileName(self, title, "", kinds)
            if path:
                self.show_text(path)
                return
            if not self._path:
                self.text.setCurrentIndex(_SHIPPED)
        self._on_change()

    def _count(self, most: int) -> QSpinBox:
        count = QSpinBox()
        count.setRange(0, most)
        count.setSpecialValueText(self.tr("As usual"))
        count.lineEdit().setTextMargins(8, 0, 0, 0)  # the stylesheet's padding does not reach it
        count.valueChanged.connect(self._on_change)
        return count

    def _differing(self) -> set[str]:
        counts = {"samples": self.samples, "length": self.length, "seed": self.seed}
        differing = {key for key, count in counts.items() if count.value()}
        return differing | ({"text"} if self.path else set())

    @Slot()
    def _on_change(self) -> None:
        self._grid.mark(self._differing())
        self.changed.emit()
