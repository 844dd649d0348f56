"""What PyTorch can use here: asked in a process of its own, which a broken driver may end."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Qt, QTimer, Slot
from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout, QWidget

from app.core.errors import AppError
from app.ui.icons import Picture
from app.ui.probe import Probe
from app.ui.widgets.text import label

_PATIENCE_MS = 200


class PyTorchCard(QFrame):
    """Says which devices convert models, or why they do not."""

    def __init__(self, command: list[str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "card")
        self._probe = Probe(command, self)
        self._probe.answered.connect(self._understand)
        self._probe.failed.connect(self._explain)
        self._waiting = QTimer(self, interval=_PATIENCE_MS, singleShot=True)
        self._waiting.timeout.connect(self._say_waiting)
        self._picture = Picture("waiting", "secondary", 20)
        self.title = label("", "strong", wrap=True)
        self.text = label("", "quiet", wrap=True)
        text = QVBoxLayout()
        text.setSpacing(3)
        text.addWidget(self.title)
        text.addWidget(self.text)
        row = QHBoxLayout(self)
        row.setContentsMargins(16, 14, 18, 14)
        row.setSpacing(14)
        row.addWidget(self._picture, 0, Qt.AlignmentFlag.AlignTop)
        row.addLayout(text, 1)

    def ask(self) -> None:
        """Try it; takes seconds."""
        self._probe.ask("probe", "--json")
        self._waiting.start()

    def close_probe(self) -> None:
        """Stop asking, for good."""
        self._waiting.stop()
        self._probe.close()

    @Slot()
    def _say_waiting(self) -> None:
        text = self.tr("This loads PyTorch and computes something on every device.")
        self._show("waiting", "secondary", self.tr("Still trying"), text)

    @Slot(object)
    def _understand(self, answer: dict[str, Any]) -> None:
        try:
            devices = [
                (str(row["name"]), bool(row["works"]), str(row["problem"]))
                for row in answer["devices"]
            ]
            version = str(answer["version"])
            lines = [*(problem for _, works, problem in devices if not works), *answer["problems"]]
        except (KeyError, TypeError) as error:
            self._explain(AppError(self.tr("PyTorch could not be tried."), details=repr(error)))
            return
        working = [name for name, works, _ in devices if works]
        if not working:
            self._show("alert", "bad", self.tr("Nothing can convert models here"), "\n".join(lines))
            return
        title = self.tr("Converts on: {}").format(", ".join(working))
        lines.append(self.tr("PyTorch {}").format(version))
        self._show("info" if len(lines) > 1 else "done", "good", title, "\n".join(lines))

    @Slot(object)
    def _explain(self, error: AppError) -> None:
        text = self.tr(
            "PyTorch ended without an answer. Most often a graphics driver and PyTorch do not go "
            "together: update the driver, then look again. Looking at models, and what fits, work "
            "without it."
        )
        self._show("alert", "bad", self.tr("PyTorch does not work here"), text)
        self.setToolTip(error.details)

    def _show(self, icon: str, tone: str, title: str, text: str) -> None:
        self._waiting.stop()
        self._picture.set_picture(icon, tone)
        self.title.setText(title)
        self.text.setText(text)
        self.text.setVisible(bool(text))
        self.setToolTip("")
        self.setAccessibleName(f"{title}. {text}")
