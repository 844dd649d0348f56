"""Everything a page may use, handed to it when it is built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QObject, Signal

from app.ui.job_queue import JobQueue
from app.ui.machine import Machine
from app.ui.preferences import Preferences


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence that passes by, with at most one thing to do about it."""

    text: str
    action: str = ""
    """Label of the button; a verb."""
    run: Callable[[], object] | None = None
    details: str = ""
    """Technical text; a notice that has some stays until it is closed."""
    page: str = ""
    """Where the same can be seen; going there takes the notice away."""


class Desk(QObject):
    """Where pages ask the window for something."""

    page_wanted = Signal(str, object)
    """Name of a page, and what it should show."""
    notice_wanted = Signal(object)
    """Notice"""

    def open(self, page: str, subject: object = None) -> None:
        """Go to another page."""
        self.page_wanted.emit(page, subject)

    def tell(self, notice: Notice) -> None:
        """Show a passing notice."""
        self.notice_wanted.emit(notice)


@dataclass(frozen=True, slots=True)
class Context:
    """The services of one running application. There are no globals beside it."""

    queue: JobQueue
    preferences: Preferences
    machine: Machine
    desk: Desk
    command: tuple[str, ...]
    """How to start one of our programs; arguments follow."""
