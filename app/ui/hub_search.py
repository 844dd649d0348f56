"""Finding models while a person types: one process at a time, and the newest question wins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal, Slot

from app.core.errors import AppError
from app.core.hub import HubModel, SearchPage
from app.ui.probe import Probe

_PAUSE_MS = 300
_AT_ONCE = 30


@dataclass(frozen=True, slots=True)
class Question:
    """What is looked for."""

    text: str = ""
    task: str = "text-generation"
    kind: str = "original"
    """"original", "gguf", or "" for both."""
    sort: str = "trending"
    """An order of the `search` command."""

    def arguments(self, page: str = "") -> list[str]:
        """The question as the words of a command."""
        found = ["search", self.text, "--sort", self.sort, "--limit", str(_AT_ONCE)]
        found += ["--task", self.task] if self.task else []
        found += [f"--{self.kind}"] if self.kind else []
        found += ["--page", page] if page else []
        return [*found, "--json"]


class HubSearch(QObject):
    """The results of the newest question."""

    changed = Signal()
    """There is news about `models`, `problem`, `is_busy` or `has_more`."""

    def __init__(self, command: list[str], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.models: tuple[HubModel, ...] = ()
        self.problem: AppError | None = None
        self.question: Question | None = None
        self._next = ""
        self._wants_more = False
        self._pause = QTimer(self, interval=_PAUSE_MS, singleShot=True)
        self._pause.timeout.connect(self._start)
        self._probe = Probe(command, self)
        self._probe.answered.connect(self._understand)
        self._probe.failed.connect(self._explain)

    @property
    def is_busy(self) -> bool:
        """Whether results are still to come."""
        return self._pause.isActive() or self._probe.is_busy

    @property
    def has_more(self) -> bool:
        """Whether the hub has further results."""
        return bool(self._next) and not self.is_busy

    def ask(self, question: Question) -> None:
        """Look for this once the person pauses; the same question is not asked twice."""
        if question == self.question and self.problem is None:
            return
        self.question = question
        self._wants_more = False
        self._probe.cancel()
        self._pause.start()
        self.changed.emit()

    @Slot()
    def again(self) -> None:
        """The same question, now."""
        self._wants_more = False
        self._start()

    @Slot()
    def more(self) -> None:
        """The results that follow."""
        if self.has_more:
            self._wants_more = True
            self._start()

    def close(self) -> None:
        """Stop looking, for good."""
        self._pause.stop()
        self._probe.close()

    @Slot()
    def _start(self) -> None:
        assert self.question is not None
        self._probe.ask(*self.question.arguments(self._next if self._wants_more else ""))
        self.changed.emit()

    @Slot(object)
    def _understand(self, answer: dict[str, Any]) -> None:
        try:
            page = SearchPage.from_json(answer)
        except ValueError as error:
            self._explain(AppError(self.tr("The hub's answer is not clear."), details=str(error)))
            return
        known = self.models if self._wants_more else ()
        seen = {model.id for model in known}
        self.models = (*known, *(model for model in page.models if model.id not in seen))
        self._next = page.next
        self.problem = None
        self.changed.emit()

    @Slot(object)
    def _explain(self, error: AppError) -> None:
        self.models = self.models if self._wants_more else ()
        self.problem = error
        self.changed.emit()
