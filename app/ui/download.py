"""Downloads one model in a process of its own, which goes on where it stood when started again."""

from __future__ import annotations

import contextlib
from typing import Any

from PySide6.QtCore import QObject, Signal, Slot

from app.core.errors import AppError
from app.core.events import Progress, decode
from app.ui import phrases
from app.ui.probe import Probe


class Download(QObject):
    """One download at a time."""

    changed = Signal()
    """There is news about `model` or `line`."""
    finished = Signal(str, str)
    """The model, and the path of what has come."""
    failed = Signal(object)
    """AppError"""

    def __init__(self, command: list[str], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.model = ""
        """What is being downloaded; "" for nothing."""
        self.line = ""
        """How far it is, in words."""
        self._probe = Probe(command, self, patience_ms=0)
        self._probe.answered.connect(self._on_answer)
        self._probe.failed.connect(self._on_failure)
        self._probe.said.connect(self._on_line)

    def start(self, model: str, file: str = "") -> None:
        """Begin, or go on; `file` is one GGUF file of the model."""
        self.model, self.line = model, ""
        self._probe.ask(
            "download", model, *(("--file", file) if file else ()), "--events", "--json"
        )
        self.changed.emit()

    @Slot()
    def stop(self) -> None:
        """Stop for now; what has come is kept."""
        self._probe.cancel()
        self._forget()

    def close(self) -> None:
        """Stop, for good."""
        self._probe.close()

    @Slot(str)
    def _on_line(self, text: str) -> None:
        with contextlib.suppress(ValueError):  # a line for people
            event = decode(text)
            if isinstance(event, Progress):
                self.line = phrases.running(event, None)
                self.changed.emit()

    @Slot(object)
    def _on_answer(self, answer: dict[str, Any]) -> None:
        model, files = self.model, answer.get("files")
        single = isinstance(files, list) and [name for name in files if str(name).endswith(".gguf")]
        path = str(single[0]) if single else str(answer.get("folder", ""))
        self._forget()
        self.finished.emit(model, path)

    @Slot(object)
    def _on_failure(self, error: AppError) -> None:
        self._forget()
        self.failed.emit(error)

    def _forget(self) -> None:
        self.model = self.line = ""
        self.changed.emit()
