"""The form that makes a job: a model, a quality, a place."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import ClassVar

from PySide6.QtCore import QCoreApplication, Qt, QTimer, Slot
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QGuiApplication
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget
from typing_extensions import override

from app.core import words
from app.core.job import Job, Output, new_id
from app.core.model import FormatChoice, Inspection
from app.core.names import result_name
from app.core.recipe import Recipe
from app.ui.context import Context, Notice
from app.ui.fits import Fits
from app.ui.icons import Button, Picture
from app.ui.page import Page, section
from app.ui.target import Target
from app.ui.widgets.advanced import AdvancedPanel, Options
from app.ui.widgets.choice_notes import ChoiceNotes
from app.ui.widgets.context_choice import ContextChoice
from app.ui.widgets.drop_zone import dropped_path
from app.ui.widgets.format_table import FormatTable
from app.ui.widgets.model_field import ModelField
from app.ui.widgets.run_on import ImaginedBar, RunOn
from app.ui.widgets.target_field import TargetField
from app.ui.widgets.text import ElidedLabel, label


class ConvertPage(Page):
    """One form from top to bottom in the order of thought; everything is checked while typing."""

    name: ClassVar[str] = "convert"
    position: ClassVar[int] = 10
    icon: ClassVar[str] = "convert"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._suggested = True  # the target's name is still ours
        self._inspection: Inspection | None = None
        self.setAcceptDrops(True)
        self._build()
        self._connect()
        self._refresh()

    @override
    @classmethod
    def title(cls) -> str:
        return QCoreApplication.translate("ConvertPage", "Convert")

    @override
    def help_text(self) -> str:
        return self.tr(
            "<p><b>Make a model smaller.</b> Choose a model, a quality and a place, then press "
            "Convert. The original is never changed.</p>"
            "<p>Fewer bits a weight make a smaller and faster model that answers a little less "
            "exactly. The one with the star is the usual choice.</p>"
            "<p>Ctrl+O opens a model, Ctrl+Enter converts, Ctrl+1 to 6 change the page.</p>"
        )

    def _build(self) -> None:
        self.model = ModelField([*self.context.command], self.context.preferences)
        self.fits = Fits(
            [*self.context.command], self.context.machine, self.context.preferences, self
        )
        self.run_on = RunOn(self.context.machine)
        self.tokens = ContextChoice(self.context.preferences)
        self.formats = FormatTable()
        self.all = Button("", "link")
        self.all.setCheckable(True)
        self.notes = ChoiceNotes()
        self.target = TargetField()
        self.advanced = AdvancedPanel()
        self.form = QWidget()
        body = QVBoxLayout(self.form)
        body.setContentsMargins(0, 0, 0, 0)
        body.setSpacing(8)
        body.addLayout(self._circumstances())
        quality = QHBoxLayout()
        quality.addWidget(section(self.tr("Quality")))
        quality.addStretch()
        quality.addWidget(self.all, 0, Qt.AlignmentFlag.AlignBottom)
        body.addLayout(quality)
        body.addWidget(self.formats)
        body.addWidget(self.notes)
        body.addWidget(section(self.tr("Save to")))
        body.addWidget(self.target)
        body.addSpacing(8)
        body.addWidget(self.advanced)
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(0, 0, 0, 24)
        column.setSpacing(8)
        column.addWidget(ImaginedBar(self.context.machine))
        column.addWidget(self.model)
        column.addWidget(self.form)
        column.addStretch()
        self.area = self.add_scrolled(content)
        self.add_footer(self._footer())
        self.advanced.hide()

    def _circumstances(self) -> QHBoxLayout:
        """Where it is to run, and with how much text in mind."""
        row = QHBoxLayout()
        row.setContentsMargins(0, 8, 0, 0)
        row.setSpacing(10)
        top = Qt.AlignmentFlag.AlignTop
        for text, widget, stretch in (
            (self.tr("Run it on"), self.run_on, 1),
            (self.tr("Context"), self.tokens, 0),
        ):
            caption = label(text)
            caption.setContentsMargins(0, 8, 0, 0)
            row.addWidget(caption, 0, top)
            row.addWidget(widget, stretch, top)
            row.addSpacing(14)
        row.addStretch(1)
        return row

    def _footer(self) -> QWidget:
        footer = QWidget()
        row = QHBoxLayout(footer)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        self.mark = Picture("alert", "careful", 18)
        self.summary = ElidedLabel()
        self.more = Button(self.tr("Advanced"), "quiet", "advanced")
        self.more.setCheckable(True)
        self.convert = Button(self.tr("Convert"), "primary")
        row.addWidget(self.mark)
        row.addWidget(self.summary, 1)
        row.addWidget(self.more)
        row.addWidget(self.convert)
        return footer

    def _connect(self) -> None:
        self.model.changed.connect(self._on_model)
        self.formats.chosen.connect(self._on_choice)
        self.fits.changed.connect(self._on_fits)
        self.all.toggled.connect(self._show_all)
        self.target.checked.connect(self._refresh)
        self.target.edited.connect(self._on_target_edited)
        self.more.toggled.connect(self._show_advanced)
        self.advanced.changed.connect(self._refresh)
        self.advanced.copy_wanted.connect(self._copy_command)
        self.convert.clicked.connect(self.primary)
        self.context.machine.identified.connect(self._on_machine)
        self.context.preferences.changed.connect(self._on_preference)
        self._on_machine()
        self._on_preference("threads")

    # Choosing a model

    @override
    def show_subject(self, subject: object) -> None:
        if isinstance(subject, str):
            self.model.open(subject)

    @override
    def open_dialog(self) -> None:
        self.model.choose_folder()

    @Slot()
    def _on_model(self) -> None:
        found = self.model.inspection
        if found is not None and found is self._inspection:
            self._refresh()  # it was only out of sight
            return
        self._inspection = found
        if found is not None:
            self._suggested = True
            self.formats.show_choices(found.choices, found.model.nbytes)
            self.tokens.set_most(found.model.context)
            self.fits.ask(self.model.path, found.model.context)
            self._label_all()
        else:
            self.fits.ask("")
        self._refresh()

    @override
    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if dropped_path(event):
            event.acceptProposedAction()

    @override
    def dropEvent(self, event: QDropEvent) -> None:
        event.acceptProposedAction()
        self.model.open(dropped_path(event))

    # Choosing a quality and a place

    @Slot(object)
    def _on_choice(self, choice: FormatChoice) -> None:
        self.notes.show_choice(choice)
        self._show_fit(choice)
        self._look_at_target()

    @Slot()
    def _on_fits(self) -> None:
        if self.model.inspection is None:
            return
        self.formats.show_fits(self.fits.found)
        self._label_all()
        choice = self.formats.choice()
        if choice is not None:
            self._show_fit(choice)

    def _show_fit(self, choice: FormatChoice) -> None:
        problem = self.fits.problem
        trouble = f"{problem.title} {problem.hint}".strip() if problem else ""
        if self.fits.is_busy and not self.fits.found:
            trouble = self.tr("Working out whether it runs here")
        self.notes.show_fit(self.formats.fit(choice.preset), trouble)
        self.target.show_cost(self.fits.costs.get(choice.preset))

    @Slot(bool)
    def _show_all(self, everything: bool) -> None:
        self.formats.show_all(everything)
        self._label_all()

    def _label_all(self) -> None:
        if self.all.isChecked():
            self.all.setText(self.tr("Show fewer"))
        else:
            assert self.model.inspection is not None
            self.all.setText(self.tr("Show all {}").format(len(self.model.inspection.choices)))
        self.all.setVisible(self.all.isChecked() or self.formats.hidden_rows > 0)

    def _look_at_target(self) -> None:
        choice = self.formats.choice()
        if self.model.inspection is None or choice is None:
            return
        path = self.target.path
        if self._suggested or not path:
            folder = Path(self.context.preferences.output_folder)
            name = result_name(self.model.inspection.model.name, choice.preset, choice.extension)
            path = str(folder / name)
        waiting = (job.target for job in self.context.queue.jobs() if not job.state.is_final)
        self.target.look_at(
            Target(
                path=path,
                extension=choice.extension,
                nbytes=choice.nbytes,
                source=self.model.path,
                taken=frozenset(waiting),
                is_suggestion=self._suggested,
            )
        )

    @Slot(str)
    def _on_target_edited(self, text: str) -> None:
        self._suggested = not text

    @Slot(bool)
    def _show_advanced(self, opened: bool) -> None:
        self.advanced.setVisible(opened and self.model.inspection is not None)
        if opened:
            QTimer.singleShot(0, self, lambda: self.area.ensureWidgetVisible(self.advanced))

    @Slot()
    def _on_machine(self) -> None:
        machine = self.context.machine
        self.advanced.set_machine(machine.processor, machine.threads, machine.cards)

    @Slot(str)
    def _on_preference(self, key: str) -> None:
        saved = self.context.preferences
        if key in {"threads", "evaluate"}:
            self.advanced.set_usual(Options(threads=saved.threads, evaluate=saved.evaluate))
        elif key == "output_folder":
            self._look_at_target()

    # Making the job

    @Slot()
    def _refresh(self) -> None:
        """Say below what pressing the button would do, or why it cannot be pressed."""
        choice = self._choice()
        ready = choice is not None and self.target.is_ready
        self.form.setVisible(self.model.is_known)
        self.convert.setEnabled(ready)
        self.more.setEnabled(choice is not None)
        self.advanced.setVisible(choice is not None and self.more.isChecked())
        trouble = self.target.trouble if choice else ""
        self.mark.setVisible(bool(trouble))
        self.summary.setText(trouble or self._promise(choice))
        dot = "" if self.advanced.is_usual else "  ●"
        self.more.setText(self.tr("Advanced") + dot)
        if choice is not None:
            self.advanced.set_command(self._command_line())

    def _choice(self) -> FormatChoice | None:
        """What would be made; None without a model in sight."""
        known = self.model.is_known and self.model.inspection is not None
        return self.formats.choice() if known else None

    def _promise(self, choice: FormatChoice | None) -> str:
        if choice is None or self.model.inspection is None:
            return ""
        before, after = self.model.inspection.model.nbytes, choice.nbytes
        share = 100 * after / max(1, before)
        text = self.tr("{} to {}, {:.0f} % of the original").format(
            words.size(before), words.size(after), share
        )
        if self.model.is_remote:
            return self.tr("Downloads {}, then {}").format(words.size(before), text)
        return text

    @override
    @Slot()
    def primary(self) -> None:
        choice = self._choice()
        if choice is None or not self.target.is_ready:
            return
        job = self._job(choice)
        try:
            Path(job.target).parent.mkdir(parents=True, exist_ok=True)
            self.context.queue.submit(job)
        except OSError as error:
            text = self.tr("The job could not be saved. Make room on the disk, then try again.")
            self.context.desk.tell(Notice(text, details=str(error)))
            return
        self._suggested = True
        self._look_at_target()  # the next one gets a name of its own
        self.context.desk.open("queue", job.id)

    def _job(self, choice: FormatChoice) -> Job:
        options = self.advanced.options
        return Job(
            id=new_id(),
            source=self.model.path,
            outputs=(Output(self.target.path, Recipe(choice.preset, pure=options.pure)),),
            device=options.device,
            threads=options.threads,
            evaluate=options.evaluate,
            overwrite=self.target.replaces,
        )

    def _command_line(self) -> str:
        choice = self.formats.choice()
        assert choice is not None
        options = self.advanced.options
        parts = ["nibble", "quantize", self.model.path, "--format", choice.preset]
        parts += ["--out", self.target.path]
        parts += ["--device", options.device] if options.device != "cpu" else []
        parts += ["--threads", str(options.threads)] if options.threads else []
        parts += [] if options.evaluate else ["--no-evaluate"]
        parts += ["--pure"] if options.pure else []
        parts += ["--overwrite"] if self.target.replaces else []
        return shlex.join(parts)

    @Slot()
    def _copy_command(self) -> None:
        QGuiApplication.clipboard().setText(self._command_line())
        self.context.desk.tell(Notice(self.tr("The command is on the clipboard.")))

    @override
    def escape(self) -> bool:
        if self.model.back():
            return True
        opened = self.more.isChecked()
        self.more.setChecked(False)
        return opened

    @override
    def leave(self) -> None:
        self.model.close_probe()
        self.fits.close()
