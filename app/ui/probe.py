"""Asks one of our commands for facts, aside from the window. The newest question wins."""

from __future__ import annotations

import json
import logging
from typing import Any

from PySide6.QtCore import QObject, QProcess, QTimer, Signal, Slot

from app.core.errors import AppError
from app.ui.programs import prepare

log = logging.getLogger(__name__)

PATIENCE_MS = 120_000
_LIMIT = 64_000_000  # bytes of an answer


class Probe(QObject):
    """Runs a command that prints one JSON document."""

    answered = Signal(object)
    """The document, as dict."""
    failed = Signal(object)
    """AppError"""
    said = Signal(str)
    """A line for people, on how far it is."""

    def __init__(
        self,
        command: list[str],
        parent: QObject | None = None,
        *,
        patience_ms: int | None = None,
    ) -> None:
        """`patience_ms` is how long to wait for an answer; 0 for as long as it takes."""
        super().__init__(parent)
        self._command = command
        self._trouble = ""
        self._process: QProcess | None = None
        self._is_patient = patience_ms == 0
        self._patience = QTimer(self, interval=patience_ms or PATIENCE_MS, singleShot=True)
        self._patience.timeout.connect(self._give_up)

    @property
    def is_busy(self) -> bool:
        """Whether an answer is still to come."""
        return self._process is not None

    def ask(self, *arguments: str) -> None:
        """Run the command with these arguments; an earlier question is forgotten."""
        self.cancel()
        process = QProcess(self)
        prepare(process)
        process.finished.connect(self._on_exit)
        process.errorOccurred.connect(self._on_error)
        process.readyReadStandardError.connect(self._on_trouble)
        self._process = process
        self._trouble = ""
        if not self._is_patient:
            self._patience.start()
        process.start(self._command[0], [*self._command[1:], *arguments])

    def cancel(self) -> None:
        """Forget the question."""
        self._patience.stop()
        process, self._process = self._process, None
        if process is None:
            return
        process.finished.disconnect(self._on_exit)
        process.errorOccurred.disconnect(self._on_error)
        process.readyReadStandardError.disconnect(self._on_trouble)
        process.finished.connect(process.deleteLater)
        process.kill()

    def close(self) -> None:
        """Forget the question and wait until every process is gone."""
        self.cancel()
        for process in self.findChildren(QProcess):
            process.waitForFinished(1000)

    @Slot()
    def _give_up(self) -> None:
        self.cancel()
        self.failed.emit(
            AppError(
                "Looking at this took too long.",
                "Check that the disk is connected and awake, then try again.",
            )
        )

    @Slot(int, QProcess.ExitStatus)
    def _on_exit(self, code: int, status: QProcess.ExitStatus) -> None:
        output, log_text = self._take()
        try:
            answer = json.loads(output) if len(output) < _LIMIT else None
        except (ValueError, RecursionError):
            answer = None
        if isinstance(answer, dict) and "error" in answer:
            self.failed.emit(_stated(answer["error"]))
        elif isinstance(answer, dict) and code == 0 and status == QProcess.ExitStatus.NormalExit:
            self.answered.emit(answer)
        else:
            log.warning("%s ended with %d: %s", self._command, code, log_text)
            self.failed.emit(_unclear(f"exit code {code}\n{log_text}"))

    @Slot()
    def _on_trouble(self) -> None:
        if self._process is not None:
            self._hear(self._process)
            line = self._trouble.rstrip().rpartition("\n")[2]
            if line:
                self.said.emit(line)

    def _hear(self, process: QProcess) -> None:
        text = bytes(process.readAllStandardError().data()).decode(errors="replace")
        self._trouble = (self._trouble + text)[-4000:]

    @Slot(QProcess.ProcessError)
    def _on_error(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart:
            text = self._process.errorString() if self._process else ""
            self._take()
            self.failed.emit(_unclear(f"{self._command[0]}: {text}"))

    def _take(self) -> tuple[bytes, str]:
        """What the process wrote to its output and the end of its log; forgets it."""
        self._patience.stop()
        process, self._process = self._process, None
        assert process is not None
        process.deleteLater()
        self._hear(process)
        return bytes(process.readAllStandardOutput().data()), self._trouble


def _stated(error: Any) -> AppError:
    if not isinstance(error, dict) or not isinstance(error.get("title"), str):
        return _unclear(repr(error))
    return AppError(error["title"], str(error.get("hint", "")), str(error.get("details", "")))


def _unclear(details: str) -> AppError:
    return AppError(
        "The part of Nibble that reads models did not answer.",
        "Try again; if that does not help, restart Nibble or install it again.",
        details.strip(),
    )
