"""What happened, what to do about it, and the technical text one click away."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPlainTextEdit, QVBoxLayout, QWidget

from app.ui.icons import Button, Picture
from app.ui.widgets.folding import Folding
from app.ui.widgets.text import label


class ProblemCard(QFrame):
    """Shows an error in the words of its author."""

    def __init__(self, parent: QWidget | None = None, *, flat: bool = False) -> None:
        """`flat` leaves out ground, sign and title, which the card around it has."""
        super().__init__(parent)
        self.setProperty("role", "" if flat else "problem")
        self._title = label("", "strong", wrap=True)
        self._title.setVisible(not flat)
        self._hint = label("", "quiet", wrap=True)
        self._details = QPlainTextEdit(readOnly=True)
        self._details.setFixedHeight(120)
        self._details.setAccessibleName(self.tr("Technical details"))
        copy = Button(self.tr("Copy details"), "link", "copy")
        copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(self._whole_text()))
        inside = QWidget()
        lower = QVBoxLayout(inside)
        lower.setContentsMargins(0, 0, 0, 0)
        lower.addWidget(self._details)
        lower.addWidget(copy, 0, Qt.AlignmentFlag.AlignLeft)
        self._folding = Folding(self.tr("Details"), inside)
        self._actions = QHBoxLayout()
        self._actions.setSpacing(8)
        self._actions.addStretch()

        text = QVBoxLayout()
        text.setSpacing(4)
        text.addWidget(self._title)
        text.addWidget(self._hint)
        text.addSpacing(4)
        text.addLayout(self._actions)
        text.addWidget(self._folding)
        row = QHBoxLayout(self)
        row.setContentsMargins(*((0, 0, 0, 0) if flat else (16, 14, 16, 12)))
        row.setSpacing(12)
        if not flat:
            row.addWidget(Picture("alert", "bad", 20), 0, Qt.AlignmentFlag.AlignTop)
        row.addLayout(text, 1)

    def add_action(self, button: Button) -> None:
        """Offer a way out; the first one is the suggested one."""
        self._actions.insertWidget(self._actions.count() - 1, button)

    def show_problem(self, title: str, hint: str, details: str = "") -> None:
        """Explain."""
        self._title.setText(title)
        self._hint.setText(hint)
        self._hint.setVisible(bool(hint))
        self._details.setPlainText(details)
        self._folding.setVisible(bool(details))
        self.setAccessibleName(f"{title} {hint}")

    def _whole_text(self) -> str:
        parts = (self._title.text(), self._hint.text(), self._details.toPlainText())
        return "\n".join(part for part in parts if part)
