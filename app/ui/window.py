"""The frame: navigation, pages, status line, keys."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication, QEvent, Signal, Slot
from PySide6.QtGui import QCloseEvent, QKeySequence, QResizeEvent, QShortcut
from PySide6.QtWidgets import QHBoxLayout, QMainWindow, QStackedWidget, QVBoxLayout, QWidget
from typing_extensions import override

from app.core import words
from app.core.discover import discover
from app.core.job import Job, State
from app.ui import phrases
from app.ui.context import Context, Notice
from app.ui.page import Page
from app.ui.widgets.navigation import Entry, Navigation
from app.ui.widgets.notice_bar import NoticeBar
from app.ui.widgets.status_line import StatusLine

_NARROW = 900
_LEAST = (900, 600)
_FIRST = (1120, 780)


def pages() -> dict[str, type[Page]]:
    """Every page by its name, in the order of the navigation."""
    found = discover("app.ui.pages", Page).values()
    return {page.name: page for page in sorted(found, key=lambda page: page.position)}


class Window(QMainWindow):
    """Shows one page at a time; a page is built when it is first wanted."""

    notified = Signal(str, str)
    """Title and text of something that happened while the window was not in front."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context
        self._classes = pages()
        self._pages: dict[str, Page] = {}
        self._current = ""
        self.setWindowTitle("Nibble")
        self.setMinimumSize(*_LEAST)
        self.navigation = Navigation(
            [
                Entry(page.name, page.title(), page.icon, page.at_bottom)
                for page in self._classes.values()
            ]
        )
        self.stack = QStackedWidget()
        self.status = StatusLine()
        self.notices = NoticeBar(self._build())
        self._connect()
        self._add_keys()
        if not self.restoreGeometry(context.preferences.geometry()):
            self.resize(*_FIRST)
        self._show_jobs()
        self.status.show_machine(context.machine)
        self.open_page(next(iter(self._classes)))

    def _build(self) -> QWidget:
        centre = QWidget()
        centre.setObjectName("window")
        column = QVBoxLayout(centre)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        row = QHBoxLayout()
        row.setSpacing(0)
        row.addWidget(self.navigation)
        row.addWidget(self.stack, 1)
        column.addLayout(row, 1)
        column.addWidget(self.status)
        self.setCentralWidget(centre)
        return centre

    def _connect(self) -> None:
        context = self._context
        self.navigation.wanted.connect(self.open_page)
        self.status.page_wanted.connect(self.open_page)
        context.desk.page_wanted.connect(self.open_page)
        context.desk.notice_wanted.connect(self.notices.tell)
        for signal in (context.machine.identified, context.machine.refreshed):
            signal.connect(lambda: self.status.show_machine(context.machine))
        queue = context.queue
        for signal in (queue.added, queue.changed, queue.removed, queue.settings_changed):
            signal.connect(self._show_jobs)
        queue.ended.connect(self._on_ended)

    def _add_keys(self) -> None:
        for number, name in enumerate(self._classes, 1):
            self._key(f"Ctrl+{number}", lambda name=name: self.open_page(name))
        self._key("Ctrl+O", self._open_model)
        self._key("Ctrl+Return", lambda: self.page().primary())
        self._key("Ctrl+Enter", lambda: self.page().primary())
        self._key("F1", lambda: self.page().show_help())
        self._key("Esc", self._escape)
        self._key("Ctrl+Q", self.close)

    def _key(self, keys: str, run: object) -> None:
        shortcut = QShortcut(QKeySequence(keys), self)
        shortcut.activated.connect(run)

    def page(self, name: str = "") -> Page:
        """A page by its name, built if need be; the current one by default."""
        name = name or self._current
        if name not in self._pages:
            self._pages[name] = self._classes[name](self._context)
            self.stack.addWidget(self._pages[name])
        return self._pages[name]

    @Slot(str)
    @Slot(str, object)
    def open_page(self, name: str, subject: object = None) -> None:
        """Show a page and, on it, `subject`; a page that does not exist is ignored."""
        if name not in self._classes:
            return
        page = self.page(name)
        self._current = name
        self.stack.setCurrentWidget(page)
        self.navigation.choose(name)
        page.setFocus()  # the next Tab goes to its first control
        self.setWindowTitle(f"{page.title()} - Nibble")
        self.notices.forget(name)
        if subject is not None:
            page.show_subject(subject)

    @Slot()
    def _open_model(self) -> None:
        self.open_page("convert")
        self.page("convert").open_dialog()

    @Slot()
    def _escape(self) -> None:
        if self.notices.isVisible():
            self.notices.hide()
        else:
            self.page().escape()

    @Slot()
    def _show_jobs(self) -> None:
        jobs = self._context.queue.jobs()
        running = [job for job in jobs if job.state is State.RUNNING]
        waiting = sum(job.state is State.QUEUED for job in jobs)
        self.navigation.set_badge("queue", len(running) + waiting)
        self.status.show_jobs(self._summary(running, waiting))

    def _summary(self, running: list[Job], waiting: int) -> str:
        if not running:
            if not waiting:
                return ""
            return self.tr("{} waiting").format(waiting)
        first = running[0]
        share = first.progress.overall if first.progress else 0.0
        parts = [phrases.job_title(first), f"{100 * share:.0f} %"]
        left = self._context.queue.remaining(first.id)
        if left is not None:
            parts.append(self.tr("{} left").format(words.duration(left)))
        others = len(running) - 1 + waiting
        if others:
            parts.append(self.tr("{} more").format(others))
        return "  ·  ".join(parts)

    @Slot(object)
    def _on_ended(self, job: Job) -> None:
        if job.state is State.CANCELLED:
            return
        title = phrases.job_title(job)
        finished = job.state is State.FINISHED
        if not (self.isVisible() and self.isActiveWindow()):
            text = self.tr("The result is ready.") if finished else _problem(job)
            self.notified.emit(title, text)
        if finished and self._current != "reports":
            self._context.desk.tell(
                Notice(
                    self.tr("{} is ready.").format(title),
                    self.tr("Open report"),
                    lambda: self.open_page("reports", job.id),
                    page="reports",
                )
            )

    @override
    def changeEvent(self, event: QEvent) -> None:
        """Back in front: commands may have made reports meanwhile."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.ActivationChange and self.isActiveWindow():
            self._context.queue.refresh()

    @override
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.navigation.set_slim(self.width() <= _NARROW)
        self.notices.place()

    @override
    def closeEvent(self, event: QCloseEvent) -> None:
        """Nothing is lost by closing, so nothing is asked: jobs go on at the next start."""
        self._context.preferences.save_geometry(self.saveGeometry())
        self.hide()
        self._context.queue.close()
        self._context.machine.close()
        for page in self._pages.values():
            page.leave()
        super().closeEvent(event)


def _problem(job: Job) -> str:
    return job.problem.title if job.problem else QCoreApplication.translate("Window", "It stopped.")
