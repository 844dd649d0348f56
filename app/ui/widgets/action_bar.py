"""The lower end of the form: what pressing the button does, or why it cannot be pressed."""

from __future__ import annotations

from PySide6.QtWidgets import QHBoxLayout, QWidget

from app.ui.icons import Button, Picture
from app.ui.widgets.text import ElidedLabel


class ActionBar(QWidget):
    """One sentence and two buttons, always visible."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._mark = Picture("alert", "careful", 18)
        self.summary = ElidedLabel()
        self.more = Button(self.tr("Advanced"), "quiet", "advanced")
        self.more.setCheckable(True)
        self.convert = Button(self.tr("Convert"), "primary")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        row.addWidget(self._mark)
        row.addWidget(self.summary, 1)
        row.addWidget(self.more)
        row.addWidget(self.convert)

    def show_promise(self, text: str) -> None:
        """Say what the button would do."""
        self._mark.hide()
        self.summary.setText(text)

    def show_trouble(self, text: str) -> None:
        """Say why it cannot be pressed."""
        self._mark.show()
        self.summary.setText(text)

    def mark_more(self, differs: bool) -> None:
        """Put a dot behind Advanced, where something there differs from the defaults."""
        self.more.setText(self.tr("Advanced") + ("  ●" if differs else ""))
