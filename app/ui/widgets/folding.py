"""Something that is folded away until it is asked for."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.ui.icons import Button


class Folding(QWidget):
    """A link-like button and, under it, what it unfolds."""

    def __init__(self, title: str, content: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._content = content
        self.button = Button(title, "link", "chevron-right")
        self.button.setCheckable(True)
        self.button.toggled.connect(self._show)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.button, 0, Qt.AlignmentFlag.AlignLeft)
        layout.addWidget(content)
        content.hide()

    def set_title(self, title: str) -> None:
        """Another text on the button."""
        self.button.setText(title)

    def _show(self, opened: bool) -> None:
        self._content.setVisible(opened)
        self.button.set_icon("chevron-down" if opened else "chevron-right")
