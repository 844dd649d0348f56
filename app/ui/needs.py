"""What the job that the form makes would take: asked aside once changes pause."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal, Slot

from app.core.job import Job
from app.core.needs import JobNeeds
from app.ui.probe import Probe

_PAUSE_MS = 250


class Needs(QObject):
    """The answer for one job; there is none while it is worked out, or where nobody knows."""

    changed = Signal()
    """There is news about `found`."""

    def __init__(self, command: list[str], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.found: JobNeeds | None = None
        self._job: Job | None = None
        self._pause = QTimer(self, interval=_PAUSE_MS, singleShot=True)
        self._pause.timeout.connect(self._ask)
        self._probe = Probe(command, self)
        self._probe.answered.connect(self._understand)

    def ask(self, job: Job | None) -> None:
        """Look at another job, or at none; the same one under another name is left alone."""
        asked = _without_names(job) if job else None
        if asked == self._job:
            return
        self._job = asked
        self._probe.cancel()
        self._pause.stop()
        if asked is not None:
            self._pause.start()
        self._tell(None)

    def close(self) -> None:
        """Stop asking, for good."""
        self._pause.stop()
        self._probe.close()

    @Slot()
    def _ask(self) -> None:
        assert self._job is not None  # nothing starts the pause otherwise
        self._probe.ask("needs", self._job.request(), "--json")

    @Slot(object)
    def _understand(self, answer: dict[str, Any]) -> None:
        try:
            self._tell(JobNeeds.from_json(answer))
        except ValueError:
            self._tell(None)

    def _tell(self, found: JobNeeds | None) -> None:
        if found != self.found:
            self.found = found
            self.changed.emit()


def _without_names(job: Job) -> Job:
    """The job as far as what it takes depends on it: of each result, only where it goes."""
    folders = (replace(one, target=str(Path(one.target).parent)) for one in job.outputs)
    return replace(job, id="", outputs=tuple(folders))
