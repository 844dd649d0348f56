"""The results: what was gained and what was lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from PySide6.QtCore import QCoreApplication, QModelIndex, QRect, QSize, Qt, Slot
from PySide6.QtGui import QColor, QFont, QGuiApplication, QPainter, QResizeEvent
from PySide6.QtWidgets import (
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QListView,
    QMenu,
    QScrollArea,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)
from typing_extensions import override

from app.core.errors import BadModelFile
from app.core.job import Job
from app.core.report import Report, load_report
from app.ui import phrases
from app.ui.aside import Aside
from app.ui.context import Context, Notice
from app.ui.desktop import show_in_folder
from app.ui.icons import Button, IconButton
from app.ui.page import Page
from app.ui.table import ROW_ROLE, Column, Index, TableModel
from app.ui.theme import tokens
from app.ui.widgets.empty import Empty
from app.ui.widgets.problem_card import ProblemCard
from app.ui.widgets.report_view import ReportView
from app.ui.widgets.trade_off import Point

_LIST, _SLIM_LIST = 248, 208
_NARROW = 900  # px of the page
_ROW = 62


@dataclass(frozen=True, slots=True)
class Entry:
    """One result in the list."""

    key: str
    job_id: str
    path: str
    """Of its report."""
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the list and the comparison need of a report."""

    text: str
    source: str = ""
    point: Point | None = None


class ReportsPage(Page):
    """The list of results at the left, the chosen one at the right."""

    name: ClassVar[str] = "reports"
    position: ClassVar[int] = 40
    icon: ClassVar[str] = "reports"
    is_wide: ClassVar[bool] = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._queue = context.queue
        self._report: Report | None = None
        self._shown: Entry | None = None
        columns: tuple[Column[Entry], ...] = (
            Column(self.tr("Result"), lambda row: row.title, lambda row: row.title),
        )
        self.entries = TableModel(columns, key=lambda row: row.key, parent=self)
        self._outcomes: dict[str, Outcome] = {}
        self._aside = Aside(self)
        self._aside.answered.connect(self._fill_outcomes)
        self._build()
        self._queue.changed.connect(self._on_changed)
        self._queue.added.connect(self._on_changed)
        self._queue.removed.connect(self._list_all)
        self._list_all()

    @override
    @classmethod
    def title(cls) -> str:
        return QCoreApplication.translate("ReportsPage", "Reports")

    @override
    def help_text(self) -> str:
        return self.tr(
            "<p><b>What was gained, what was lost.</b> KL divergence says how far the result's "
            "predictions are from the original's: 0 is no difference. Perplexity is how "
            "surprised a model is by a text: lower is better.</p>"
            "<p>The map shows where in the model the error lies. Point at a cell, or use the "
            "arrow keys, for its value.</p>"
        )

    def _build(self) -> None:
        self.list = QListView()
        self.list.setModel(self.entries)
        self.list.setItemDelegate(_EntryPainter(self.list))
        self.list.setFixedWidth(_LIST)
        self.list.setMouseTracking(True)
        self.list.setAccessibleName(self.tr("Results"))
        self.list.selectionModel().currentChanged.connect(self._on_chosen)
        self.view = ReportView()
        self.view.run_lines.copied.connect(self._copy_command)
        self.problem = ProblemCard()
        self.problem.hide()
        self._actions = self._action_row()
        right = QWidget()
        column = QVBoxLayout(right)
        column.setContentsMargins(0, 0, 12, 0)
        column.setSpacing(8)
        column.addWidget(self.problem)
        column.addWidget(self.view)
        column.addStretch()
        self.area = area = QScrollArea(widgetResizable=True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setWidget(right)
        content = QWidget()
        row = QHBoxLayout(content)
        row.setContentsMargins(0, 0, 0, 24)
        row.setSpacing(24)
        row.addWidget(self.list)
        row.addWidget(area, 1)
        self._filled = self.add_filling(content)
        self.empty = Empty(
            "reports",
            self.tr("No results yet"),
            self.tr("Every finished job leaves a report: bytes saved, accuracy lost, and where."),
            self.tr("Convert a model"),
        )
        self.empty.button.clicked.connect(lambda: self.context.desk.open("convert"))
        self._blank = self.add_filling(self.empty)

    def _action_row(self) -> list[QWidget]:
        folder = Button(self.tr("Open folder"), icon_name="folder")
        folder.clicked.connect(self._open_folder)
        copy = Button(self.tr("Copy as Markdown"), icon_name="copy")
        copy.clicked.connect(self._copy)
        export = Button(self.tr("Export"), icon_name="export")
        menu = QMenu(export)
        for kind in ("HTML", "JSON", "Markdown"):
            menu.addAction(kind).triggered.connect(partial(self._export, kind))
        export.setMenu(menu)
        remove = IconButton("trash", self.tr("Remove this report; the result stays"))
        remove.clicked.connect(self._remove)
        place = self.header.count() - 1
        widgets: list[QWidget] = [folder, copy, export, remove]
        for offset, widget in enumerate(widgets):
            self.header.insertWidget(place + offset, widget)
        return widgets

    @override
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.list.setFixedWidth(_SLIM_LIST if self.width() < _NARROW else _LIST)

    @override
    def show_subject(self, subject: object) -> None:
        place = self.entries.find(str(subject))
        if place is not None:
            self.list.setCurrentIndex(self.entries.index(place, 0))

    # The list

    @Slot()
    def _list_all(self) -> None:
        chosen = self._shown.key if self._shown else ""
        jobs = sorted(self._queue.jobs(), key=lambda job: job.id, reverse=True)
        entries = [entry for job in jobs for entry in self._entries(job)]
        self.entries.set_rows(entries)
        self._filled.setVisible(bool(entries))
        self._blank.setVisible(not entries)
        for widget in self._actions:
            widget.setVisible(bool(entries))
        missing = {entry.key: entry.path for entry in entries if entry.key not in self._outcomes}
        if missing:
            self._aside.ask(partial(_outcomes, missing))
        if entries:
            place = self.entries.find(chosen) or 0
            self.list.setCurrentIndex(self.entries.index(place, 0))

    def _entries(self, job: Job) -> Iterator[Entry]:
        """The results of a job that has ended; it may have failed after some of them."""
        if not job.state.is_final:
            return
        for number, path in enumerate(job.reports):
            if path:
                key = _key(job.id, number)
                title = phrases.result_title(job, job.presets[number])
                known = self._outcomes.get(key)
                yield Entry(key, job.id, path, title, known.text if known else "")

    @Slot(object)
    def _on_changed(self, job: Job) -> None:
        keys = [_key(job.id, number) for number in range(len(job.outputs))]
        listed = {key for key in keys if self.entries.find(key) is not None}
        if {entry.key for entry in self._entries(job)} != listed:
            for key in keys:
                self._outcomes.pop(key, None)
            self._list_all()

    @Slot(object)
    def _fill_outcomes(self, found: dict[str, Outcome]) -> None:
        self._outcomes |= found
        for job in self._queue.jobs():
            for entry in self._entries(job):
                if entry.key in found and self.entries.find(entry.key) is not None:
                    self.entries.put(entry)
        self._compare()

    def _compare(self) -> None:
        """Show the chosen result among the others of its model."""
        if self._report is None or self._shown is None:
            return
        entries = (entry for job in self._queue.jobs() for entry in self._entries(job))
        listed = {self._outcomes.get(entry.key) for entry in entries}
        points = [
            known.point
            for known in listed
            if known and known.point and known.source == self._report.source
        ]
        self.view.show_others(points, self._shown.key)

    @Slot(QModelIndex, QModelIndex)
    def _on_chosen(self, current: QModelIndex, _previous: QModelIndex) -> None:
        entry = current.data(ROW_ROLE)
        if not isinstance(entry, Entry):
            return
        self._shown = entry
        try:
            self._report = load_report(Path(entry.path))
        except BadModelFile as error:
            self._report = None
            self.problem.show_problem(error.title, error.hint, error.details)
        else:
            self.view.show_report(self._report)
            self._compare()
        self.problem.setVisible(self._report is None)
        self.view.setVisible(self._report is not None)
        for widget in self._actions[:-1]:
            widget.setEnabled(self._report is not None)

    # Actions

    @Slot()
    def _open_folder(self) -> None:
        if self._report is not None:
            show_in_folder(Path(self._report.target))

    @Slot()
    def _copy(self) -> None:
        if self._report is not None:
            QGuiApplication.clipboard().setText(_render(self._report, "Markdown"))
            self.context.desk.tell(Notice(self.tr("The report is on the clipboard.")))

    @Slot(str)
    def _copy_command(self, command: str) -> None:
        QGuiApplication.clipboard().setText(command)
        self.context.desk.tell(Notice(self.tr("The command is on the clipboard.")))

    def _export(self, kind: str) -> None:
        if self._report is None:
            return
        ending = {"HTML": "html", "JSON": "json", "Markdown": "md"}[kind]
        target = Path(self._report.target)
        place = target.with_name(f"{target.name.removesuffix('.gguf')}.{ending}")
        path, _ = QFileDialog.getSaveFileName(
            self, self.tr("Export the report"), str(place), f"{kind} (*.{ending})"
        )
        if path:
            self.save(Path(path), kind)

    def save(self, path: Path, kind: str) -> None:
        """Write the chosen report to `path` as "HTML", "JSON" or "Markdown"."""
        assert self._report is not None
        try:
            if kind == "JSON":
                self._report.save(path)
            else:
                path.write_text(_render(self._report, kind), encoding="utf-8")
        except OSError as error:
            text = self.tr("The report could not be saved there. Choose another folder.")
            self.context.desk.tell(Notice(text, details=str(error)))
            return
        self.context.desk.tell(
            Notice(
                self.tr("{} is saved.").format(path.name),
                self.tr("Open folder"),
                lambda: show_in_folder(path),
            )
        )

    @Slot()
    def _remove(self) -> None:
        if self._shown is None:
            return
        job_id = self._shown.job_id
        job = self._queue.job(job_id)
        self._queue.remove(job_id)
        text = self.tr("The report is removed; the result stays.")
        if job and len(job.outputs) > 1:
            text = self.tr("The reports of this job are removed; the results stay.")
        self.context.desk.tell(Notice(text, self.tr("Undo"), lambda: self._queue.restore(job_id)))


def _render(report: Report, kind: str) -> str:
    from app.evaluation.export import to_html, to_markdown

    return to_html(report) if kind == "HTML" else to_markdown(report)


def _outcomes(files: dict[str, str]) -> dict[str, Outcome]:
    """Several results in short; runs beside the window."""
    return {key: _outcome(key, Path(path)) for key, path in files.items()}


def _key(job_id: str, number: int) -> str:
    """A name for one result of a job; the first has the job's."""
    return f"{job_id}:{number}" if number else job_id


def _outcome(key: str, path: Path) -> Outcome:
    try:
        report = load_report(path)
    except BadModelFile:
        return Outcome("")
    point = None
    if report.quality:
        point = Point(key, report.preset, report.bytes_after, report.quality.kl_mean)
    return Outcome(phrases.outcome(report), report.source, point)


class _EntryPainter(QStyledItemDelegate):
    """Two lines: what it is, and what came of it."""

    @override
    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        entry: Entry = index.data(ROW_ROLE)
        self.initStyleOption(option, index)
        option.text = ""
        style = option.widget.style()
        style.drawControl(style.ControlElement.CE_ItemViewItem, option, painter, option.widget)
        painter.save()
        place = option.rect.adjusted(12, 10, -12, -10)
        font = QFont(option.font)
        font.setWeight(QFont.Weight.DemiBold)
        painter.setFont(font)
        painter.setPen(QColor(tokens().text))
        self._line(painter, place, entry.title)
        font.setWeight(QFont.Weight.Normal)
        font.setPixelSize(font.pixelSize() - 1)
        painter.setFont(font)
        painter.setPen(QColor(tokens().secondary))
        self._line(painter, place.adjusted(0, place.height() // 2 + 2, 0, 0), entry.text)
        painter.restore()

    def _line(self, painter: QPainter, place: QRect, text: str) -> None:
        shown = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, place.width())
        painter.drawText(place, Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft, shown)

    @override
    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(_SLIM_LIST - 20, _ROW)
