"""Runs short calls that may block, such as file checks, beside the window."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from PySide6.QtCore import QObject, QThreadPool, QTimer, Signal, Slot

_DELAY_MS = 120


class Aside(QObject):
    """Calls a function in another thread once questions pause; only the newest answer counts."""

    answered = Signal(object)
    _returned = Signal(int, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._ticket = 0
        self._call: Callable[[], object] = lambda: None
        self._delay = QTimer(self, interval=_DELAY_MS, singleShot=True)
        self._delay.timeout.connect(self._start)
        self._returned.connect(self._deliver)

    def ask(self, call: Callable[[], object]) -> None:
        """Run `call` soon. It must not touch widgets, and answers even when things are wrong."""
        self._ticket += 1
        self._call = call
        self._delay.start()

    @Slot()
    def _start(self) -> None:
        ticket, call = self._ticket, self._call

        def run() -> None:
            answer = call()
            with contextlib.suppress(RuntimeError):  # the window has closed meanwhile
                self._returned.emit(ticket, answer)

        QThreadPool.globalInstance().start(run)

    @Slot(int, object)
    def _deliver(self, ticket: int, answer: object) -> None:
        if ticket == self._ticket:
            self.answered.emit(answer)
