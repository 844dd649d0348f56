"""The hub's access token: typed once, kept by the system, never shown again."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from app.core.errors import AppError
from app.ui.aside import Aside
from app.ui.icons import Button
from app.ui.widgets.text import label


class TokenField(QWidget):
    """Saving may ask the system's keyring, which may ask the user; hence aside."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._aside = Aside(self)
        self._aside.answered.connect(self._say)
        self.edit = QLineEdit()
        self.edit.setEchoMode(QLineEdit.EchoMode.Password)
        self.edit.setPlaceholderText("hf_…")
        self.edit.setAccessibleName(self.tr("Access token"))
        self.edit.returnPressed.connect(self._keep)
        self.edit.textChanged.connect(self._on_text)
        self.keep = Button(self.tr("Keep"))
        self.keep.setAccessibleName(self.tr("Keep the access token"))
        self.keep.setEnabled(False)
        self.keep.clicked.connect(self._keep)
        self.forget = Button(self.tr("Forget"))
        self.forget.setAccessibleName(self.tr("Forget the access token"))
        self.forget.clicked.connect(self._forget)
        self.answer = label(
            self.tr("Only for models whose authors want to know who takes them."),
            "secondary",
            wrap=True,
        )
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self.edit, 1)
        row.addWidget(self.keep)
        row.addWidget(self.forget)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addLayout(row)
        column.addWidget(self.answer)

    @Slot(str)
    def _on_text(self, text: str) -> None:
        self.keep.setEnabled(bool(text.strip()))

    @Slot()
    def _keep(self) -> None:
        text = self.edit.text().strip()
        if text:
            self._aside.ask(partial(_save, text))

    @Slot()
    def _forget(self) -> None:
        self.edit.clear()
        self._aside.ask(partial(_forget, self.tr("The token is forgotten.")))

    @Slot(object)
    def _say(self, answer: str | AppError) -> None:
        if isinstance(answer, AppError):
            self.answer.setText(f"{answer.title} {answer.hint}".strip())
            return
        self.edit.clear()
        self.answer.setText(answer)


def _save(text: str) -> str | AppError:
    from app.hub.token import save_token

    try:
        return save_token(text)
    except (AppError, OSError) as error:
        return error if isinstance(error, AppError) else AppError(str(error))


def _forget(done: str) -> str | AppError:
    from app.hub.token import forget_token

    try:
        forget_token()
    except OSError as error:
        return AppError(str(error))
    return done
