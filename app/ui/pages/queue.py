"""The queue: what runs, what waits, what came of the rest."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from PySide6.QtCore import QCoreApplication, Qt, Slot
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QCheckBox, QHBoxLayout, QMenu, QVBoxLayout, QWidget
from typing_extensions import override

from app.core.errors import BadModelFile
from app.core.job import Job, State
from app.core.report import load_report
from app.core.runtime import starts
from app.core.store import QueueSettings
from app.ui import phrases
from app.ui.context import Context, Notice
from app.ui.icons import Button, IconButton
from app.ui.page import Page, section
from app.ui.widgets.empty import Empty
from app.ui.widgets.job_row import JobRow
from app.ui.widgets.reorder import ReorderColumn
from app.ui.widgets.text import label

_ENDED = 20
"""Jobs of earlier sessions that are listed; all their results are among the reports."""


class QueuePage(Page):
    """One row a job; all the behaviour is in `JobQueue`."""

    name: ClassVar[str] = "queue"
    position: ClassVar[int] = 30
    icon: ClassVar[str] = "queue"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._queue = context.queue
        self._rows: dict[str, JobRow] = {}
        self._outcomes: dict[str, str] = {}
        self.pause = Button(self.tr("Pause queue"), icon_name="pause")
        self.pause.setCheckable(True)
        self.stop_after = QCheckBox(self.tr("Finish this one, then stop"))
        self.more = IconButton("more", self.tr("More"))
        self.more.setMenu(QMenu(self.more))
        self.quit_after = self.more.menu().addAction(self.tr("Quit Nibble when all is done"))
        self.quit_after.setCheckable(True)
        place = self.header.count() - 1  # before the help button
        for offset, widget in enumerate((self.stop_after, self.pause, self.more)):
            self.header.insertWidget(place + offset, widget)
        self._build()
        self.pause.toggled.connect(self._queue.set_paused)
        self.stop_after.toggled.connect(self._queue.set_stop_after_current)
        self._queue.added.connect(self._on_added)
        self._queue.changed.connect(self._on_changed)
        self._queue.removed.connect(self._on_removed)
        self._queue.reordered.connect(self._arrange)
        self._queue.settings_changed.connect(self._show_settings)
        self._queue.emptied.connect(self._on_emptied)
        jobs = self._queue.jobs()
        ended = [job for job in jobs if job.state.is_final]
        self._add([job for job in jobs if not job.state.is_final] + ended[-_ENDED:])
        self._show_settings(self._queue.settings)
        self._arrange()

    @override
    @classmethod
    def title(cls) -> str:
        return QCoreApplication.translate("QueuePage", "Queue")

    @override
    def help_text(self) -> str:
        return self.tr(
            "<p><b>Jobs run one after another</b>, one for each processor or graphics card. They "
            "survive closing the window: what was cut off goes on where it stood.</p>"
            "<p>Drag a waiting job to change the order, or use Alt+Up and Alt+Down. Delete removes "
            "a job from the list; results and reports stay.</p>"
        )

    def _build(self) -> None:
        self.active = ReorderColumn()
        self.active.moved.connect(lambda key, before: self._queue.move(key, before or None))
        self._paused_note = label(
            self.tr("The queue is paused: what runs goes on, nothing new is started."), "quiet"
        )
        self._done_head = QWidget()
        head = QHBoxLayout(self._done_head)
        head.setContentsMargins(0, 0, 0, 0)
        head.addWidget(section(self.tr("Done")))
        head.addStretch()
        clear = Button(self.tr("Clear"), "link")
        clear.setToolTip(self.tr("Empties this list; results and reports stay"))
        clear.clicked.connect(self._clear_done)
        head.addWidget(clear, 0, Qt.AlignmentFlag.AlignBottom)
        self.done = ReorderColumn()
        self.done.setAcceptDrops(False)
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(0, 0, 0, 24)
        column.setSpacing(8)
        for widget in (self._paused_note, self.active, self._done_head, self.done):
            column.addWidget(widget)
        column.addStretch()
        self.empty = Empty(
            "queue",
            self.tr("Nothing to do"),
            self.tr("Models that you convert wait here, and run one after another."),
            self.tr("Convert a model"),
        )
        self.empty.button.clicked.connect(lambda: self.context.desk.open("convert"))
        self._list = self.add_scrolled(content)
        self._blank = self.add_filling(self.empty)

    @override
    def show_subject(self, subject: object) -> None:
        row = self._rows.get(subject) if isinstance(subject, str) else None
        if row is not None:
            row.setFocus()

    @Slot(object)
    def _on_added(self, job: Job) -> None:
        self._add([job])
        self._arrange()

    def _add(self, jobs: list[Job]) -> None:
        cleared = set(self.context.preferences.cleared)
        for job in jobs:
            if job.id not in cleared:
                row = JobRow(job, self._queue.store.folder(job.id) / "worker.log")
                row.wished.connect(self._on_wish)
                self._rows[job.id] = row
                self._update(job)

    @Slot(object)
    def _on_changed(self, job: Job) -> None:
        if job.id in self._rows:
            self._update(job)
            self._arrange()

    @Slot(str)
    def _on_removed(self, job_id: str) -> None:
        row = self._rows.pop(job_id, None)
        self._arrange()
        if row is not None:
            row.hide()
            row.deleteLater()

    def _update(self, job: Job) -> None:
        self._rows[job.id].show_job(job, self._text(job))

    def _text(self, job: Job) -> str:
        match job.state:
            case State.RUNNING:
                return phrases.running(job.progress, self._queue.remaining(job.id))
            case State.FINISHED:
                return self._outcome(job)
            case State.FAILED if job.problem:
                return job.problem.title
            case _:
                return phrases.state(job)

    def _outcome(self, job: Job) -> str:
        if job.id not in self._outcomes:
            try:
                reports = [load_report(Path(report)) for report in job.reports]
                self._outcomes[job.id] = phrases.outcomes(reports) or phrases.state(job)
            except BadModelFile:
                self._outcomes[job.id] = phrases.state(job)
        return self._outcomes[job.id]

    @Slot()
    def _arrange(self) -> None:
        """Put every row where it belongs."""
        jobs = [job for job in self._queue.jobs() if job.id in self._rows]
        active = [job for job in jobs if not job.state.is_final]
        active.sort(key=lambda job: job.state is not State.RUNNING)  # stable: the order stays
        done = [job for job in jobs if job.state.is_final]
        self.active.set_rows([self._rows[job.id] for job in active])
        self.done.set_rows([self._rows[job.id] for job in reversed(done)])
        self._done_head.setVisible(bool(done))
        self._list.setVisible(bool(active or done))
        self._blank.setVisible(not active and not done)
        self.stop_after.setEnabled(any(job.state is State.RUNNING for job in active))

    @Slot(object)
    def _show_settings(self, settings: QueueSettings) -> None:
        for control, value in (
            (self.pause, settings.paused),
            (self.stop_after, settings.stop_after_current),
        ):
            control.blockSignals(True)
            control.setChecked(value)
            control.blockSignals(False)
        self.pause.setText(self.tr("Go on") if settings.paused else self.tr("Pause queue"))
        self.pause.set_icon("play" if settings.paused else "pause")
        self._paused_note.setVisible(settings.paused)

    @Slot()
    def _on_emptied(self) -> None:
        if self.quit_after.isChecked():
            self.window().close()

    @Slot(str, str)
    def _on_wish(self, wish: str, job_id: str) -> None:
        match wish:
            case "cancel":
                self._queue.cancel(job_id)
            case "retry":
                self._queue.retry(job_id)
            case "remove":
                self._remove(job_id)
            case "report":
                self.context.desk.open("reports", job_id)
            case "command":
                self._copy_command(job_id)
            case _:
                self._move(wish, job_id)

    def _copy_command(self, job_id: str) -> None:
        """Put the line that runs a result on the clipboard: of the first program, and result."""
        job = self._queue.job(job_id)
        try:
            report = load_report(Path(job.report)) if job else None
        except BadModelFile:
            report = None
        found = starts(report.runs_in, report.target) if report else ()
        text = self.tr("Its report does not say which program runs it.")
        if found:
            QGuiApplication.clipboard().setText(found[0].command)
            text = self.tr("The command for {} is on the clipboard.").format(found[0].program)
        self.context.desk.tell(Notice(text))

    def _remove(self, job_id: str) -> None:
        job = self._queue.job(job_id)
        if job is None or job.state is State.RUNNING:
            return
        if job.state is State.FINISHED:
            self._clear([job_id])
            return
        self._queue.remove(job_id)
        text = self.tr("{} is removed from the queue.").format(phrases.job_title(job))
        restore = Notice(text, self.tr("Undo"), lambda: self._queue.restore(job_id))
        self.context.desk.tell(restore)

    @Slot()
    def _clear_done(self) -> None:
        ended = [job for job in self._queue.jobs() if job.state.is_final]
        self._clear([job.id for job in ended if job.state is State.FINISHED])
        for job in ended:
            if job.state is not State.FINISHED:
                self._queue.remove(job.id)

    def _clear(self, ids: list[str]) -> None:
        """Take finished jobs out of this list; their reports stay."""
        self.context.preferences.clear_jobs(ids)
        for job_id in ids:
            self._on_removed(job_id)

    def _move(self, wish: str, job_id: str) -> None:
        waiting = [job.id for job in self._queue.jobs() if job.state is State.QUEUED]
        if job_id not in waiting:
            return
        place = waiting.index(job_id)
        others = [other for other in waiting if other != job_id]
        new = {"first": 0, "up": max(0, place - 1), "down": place + 1}[wish]
        self._queue.move(job_id, others[new] if new < len(others) else None)
        self._rows[job_id].setFocus()
