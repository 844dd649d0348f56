"""One job of the queue."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QMenu,
    QPlainTextEdit,
    QProgressBar,
    QVBoxLayout,
    QWidget,
)
from typing_extensions import override

from app.core.events import Failed
from app.core.job import Job, State
from app.ui import phrases
from app.ui.desktop import show_in_folder
from app.ui.icons import Button, IconButton, Picture
from app.ui.widgets.problem_card import ProblemCard
from app.ui.widgets.reorder import Row
from app.ui.widgets.text import ElidedLabel, label

_PICTURES = {
    State.QUEUED: ("waiting", "secondary"),
    State.RUNNING: ("running", "accent"),
    State.FINISHED: ("done", "good"),
    State.FAILED: ("alert", "bad"),
    State.CANCELLED: ("stopped", "secondary"),
}
_INDENT = 34  # from the sign of a row to its text
_STEPS = 1000
_LOG_TAIL = 64_000  # bytes shown of a log


class JobRow(Row):
    """Shows a job; every wish of the user goes out as `wished`."""

    wished = Signal(str, str)
    """What is wanted ("cancel", "retry", "remove", "report", "command", "up", "down",
    "first"), job id."""

    def __init__(self, job: Job, log_file: Path, parent: QWidget | None = None) -> None:
        super().__init__(job.id, parent)
        self._job = job
        self._log_file = log_file
        self.setProperty("role", "card")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._picture = Picture("waiting", "secondary", 22)
        self.name = ElidedLabel(role="strong")
        self.text = ElidedLabel(role="secondary")
        self.percent = QLabel()
        self.percent.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.percent.setMinimumWidth(48)
        self.bar = QProgressBar(maximum=_STEPS, textVisible=False)
        self.action = Button("")
        self.action.clicked.connect(lambda: self.wished.emit(self._main_wish()[0], self.key))
        self.more = IconButton("more", self.tr("More"))
        self.more.setMenu(QMenu(self.more))
        self.more.menu().aboutToShow.connect(self._fill_menu)
        self._notes = label("", "secondary", wrap=True)
        # Texts are heavy widgets, and most rows never need theirs.
        self.problem: ProblemCard | None = None
        self.log: QPlainTextEdit | None = None
        self._build()

    def _build(self) -> None:
        text = QVBoxLayout()
        text.setSpacing(3)
        text.addWidget(self.name)
        text.addWidget(self.text)
        row = QHBoxLayout()
        row.setSpacing(12)
        row.addWidget(self._picture)
        row.addLayout(text, 1)
        row.addWidget(self.percent)
        row.addWidget(self.action)
        row.addWidget(self.more)
        lower = QVBoxLayout()
        lower.setContentsMargins(_INDENT, 0, 4, 0)
        lower.setSpacing(8)
        lower.addWidget(self.bar)
        lower.addWidget(self._notes)
        self._lower = lower
        column = QVBoxLayout()
        column.setSpacing(8)
        column.addLayout(row)
        column.addLayout(lower)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(4, 12, 12, 12)
        layout.setSpacing(4)
        policy = self.grip.sizePolicy()
        policy.setRetainSizeWhenHidden(True)  # the texts of all rows stand in one line
        self.grip.setSizePolicy(policy)
        layout.addWidget(self.grip)
        layout.addLayout(column, 1)

    def show_job(self, job: Job, text: str) -> None:
        """Show the job as it is now; `text` is the line under its name."""
        self._job = job
        self._picture.set_picture(*_PICTURES[job.state])
        self.name.setText(phrases.job_title(job))
        self.text.setText(text)
        share = job.progress.overall if job.progress else 0.0
        is_running = job.state is State.RUNNING
        self.bar.setVisible(is_running)
        self.bar.setValue(round(_STEPS * share))
        self.bar.setAccessibleName(self.tr("Progress of {}").format(self.name.text()))
        self.percent.setVisible(is_running)
        self.percent.setText(f"{100 * share:.0f} %")
        self.grip.setVisible(job.state is State.QUEUED)
        wish, verb = self._main_wish()
        self.action.setText(verb)
        self.action.setVisible(bool(wish))
        self.action.setAccessibleName(f"{verb}: {self.name.text()}")
        self._notes.setText("\n".join(job.notes))
        self._notes.setVisible(bool(job.notes))
        self._show_problem(job.problem)
        self.setAccessibleName(f"{self.name.text()}: {phrases.state(job)}. {text}")

    def _show_problem(self, problem: Failed | None) -> None:
        if problem and self.problem is None:
            self.problem = ProblemCard(flat=True)
            again = Button(self.tr("Try again"), icon_name="retry")
            again.clicked.connect(lambda: self.wished.emit("retry", self.key))
            self.problem.add_action(again)
            self._lower.insertWidget(2, self.problem)
        if self.problem is not None:
            self.problem.setVisible(problem is not None)
            if problem:
                self.problem.show_problem(problem.title, problem.hint, problem.details)

    def _main_wish(self) -> tuple[str, str]:
        """The one visible action, and its verb."""
        progress = self._job.progress
        match self._job.state:
            case State.RUNNING if self._job.origin != "window":
                return "", ""
            case State.RUNNING if progress and progress.phase == "evaluate":
                return "cancel", self.tr("Skip measuring")
            case State.RUNNING | State.QUEUED:
                return "cancel", self.tr("Cancel")
            case State.FINISHED:
                return "report", self.tr("Open report")
            case State.CANCELLED:
                return "retry", self.tr("Start again")
            case State.FAILED:
                return "", ""  # its card has the button

    def _fill_menu(self) -> None:
        menu, state = self.more.menu(), self._job.state
        menu.clear()
        if state is State.QUEUED:
            for wish, text in (
                ("first", self.tr("Move to the front")),
                ("up", self.tr("Move up")),
                ("down", self.tr("Move down")),
            ):
                self._add(wish, text)
            menu.addSeparator()
        if state is State.FINISHED:
            menu.addAction(self.tr("Show in folder"), self.show_in_folder)
            self._add("command", self.tr("Copy the command that runs it"))
        log = menu.addAction(self.tr("Show log"), self.toggle_log)
        log.setCheckable(True)
        log.setChecked(self.log is not None and self.log.isVisible())
        if state is not State.RUNNING:
            menu.addSeparator()
            text = self.tr("Clear from the queue") if self._job.report else self.tr("Remove")
            self._add("remove", text)

    def _add(self, wish: str, text: str) -> None:
        action = self.more.menu().addAction(text)
        action.triggered.connect(lambda: self.wished.emit(wish, self.key))

    def show_in_folder(self) -> None:
        """Open the result's folder in the system's file manager."""
        show_in_folder(Path(self._job.target))

    def toggle_log(self) -> None:
        """Show or hide what the worker wrote."""
        if self.log is None:
            self.log = QPlainTextEdit(readOnly=True)
            self.log.setFixedHeight(180)
            self.log.setAccessibleName(self.tr("Log"))
            self.log.hide()
            self._lower.addWidget(self.log)
        if not self.log.isVisible():
            self.log.setPlainText(_tail(self._log_file) or self.tr("The log is empty."))
            self.log.moveCursor(self.log.textCursor().MoveOperation.End)
        self.log.setVisible(not self.log.isVisible())

    @override
    def keyPressEvent(self, event: QKeyEvent) -> None:
        alt = event.modifiers() == Qt.KeyboardModifier.AltModifier
        wish = {
            (Qt.Key.Key_Up, True): "up",
            (Qt.Key.Key_Down, True): "down",
            (Qt.Key.Key_Delete, False): "remove",
            (Qt.Key.Key_Return, False): self._main_wish()[0],
        }.get((Qt.Key(event.key()), alt), "")
        if wish:
            self.wished.emit(wish, self.key)
        else:
            super().keyPressEvent(event)


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _LOG_TAIL))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
