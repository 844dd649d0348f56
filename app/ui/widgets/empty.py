"""What an empty page shows: what will be here, and the first step."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.ui.icons import Button, Picture
from app.ui.widgets.text import label


class Empty(QWidget):
    """A picture, two sentences and a button, in the middle of the room there is."""

    def __init__(
        self, picture: str, title: str, text: str, step: str, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.button = Button(step, "primary")
        centre = Qt.AlignmentFlag.AlignHCenter
        explanation = label(text, "quiet", wrap=True)
        explanation.setAlignment(centre)
        explanation.setMinimumWidth(420)
        layout = QVBoxLayout(self)
        layout.setSpacing(8)
        layout.addStretch(2)
        layout.addWidget(Picture(picture, "control", 48), 0, centre)
        layout.addSpacing(8)
        layout.addWidget(label(title, "section"), 0, centre)
        layout.addWidget(explanation, 0, centre)
        layout.addSpacing(12)
        layout.addWidget(self.button, 0, centre)
        layout.addStretch(3)
