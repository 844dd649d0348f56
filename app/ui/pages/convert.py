"""The form that makes a job: a model, a quality, a place."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import ClassVar

from PySide6.QtCore import QCoreApplication, QTimer, Slot
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QGuiApplication
from PySide6.QtWidgets import QVBoxLayout, QWidget
from typing_extensions import override

from app.core.job import Job, Output, new_id
from app.core.model import FormatChoice, Inspection
from app.core.names import result_name
from app.core.recipe import Recipe
from app.ui import phrases
from app.ui.command_line import job_words
from app.ui.context import Context, Notice
from app.ui.fits import Fits
from app.ui.needs import Needs
from app.ui.page import Page, section
from app.ui.plans import Plans
from app.ui.recommend import usual_recipe
from app.ui.target import Target, renamed
from app.ui.widgets.action_bar import ActionBar
from app.ui.widgets.advanced import AdvancedPanel, Options
from app.ui.widgets.circumstances import Circumstances
from app.ui.widgets.drop_zone import dropped_path
from app.ui.widgets.importance_choice import ImportanceChoice
from app.ui.widgets.method_choice import MethodChoice
from app.ui.widgets.model_field import ModelField
from app.ui.widgets.quality_section import QualitySection
from app.ui.widgets.run_on import ImaginedBar
from app.ui.widgets.target_field import TargetField


class ConvertPage(Page):
    """One form from top to bottom in the order of thought; everything is checked while typing."""

    name: ClassVar[str] = "convert"
    position: ClassVar[int] = 10
    icon: ClassVar[str] = "convert"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._suggested = True  # the target's name is still ours
        self._several = False  # whether the target is a folder for several results
        self._extension = ""  # of the results that the target was chosen for
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
            "exactly. The one with the star is recommended for this computer. Tick several to make "
            "them all at once.</p>"
            "<p>Ctrl+O opens a model, Ctrl+Enter converts, Ctrl+1 to 6 change the page.</p>"
        )

    def _build(self) -> None:
        command = [*self.context.command]
        self.model = ModelField(command, self.context.preferences)
        self.fits = Fits(command, self.context.machine, self.context.preferences, self)
        self.plans, self.needs = Plans(command, self), Needs(command, self)
        self.circumstances = Circumstances(self.context)
        self.run_on, self.runtime = self.circumstances.run_on, self.circumstances.runtime
        self.tokens = self.circumstances.tokens
        self.quality = QualitySection()
        self.method, self.importance = MethodChoice(), ImportanceChoice()
        self.target = TargetField()
        self.advanced = AdvancedPanel()
        self.form = QWidget()
        body = QVBoxLayout(self.form)
        body.setContentsMargins(0, 0, 0, 0)
        body.setSpacing(8)
        upper = (self.circumstances, self.quality, self.method, self.importance)
        for part in (*upper, section(self.tr("Save to")), self.target):
            body.addWidget(part)
        body.addSpacing(8)
        body.addWidget(self.advanced)
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(0, 0, 0, 24)
        column.setSpacing(8)
        for row in (ImaginedBar(self.context.machine), self.model, self.form):
            column.addWidget(row)
        column.addStretch()
        self.area = self.add_scrolled(content)
        self.bar = ActionBar()
        self.more, self.convert = self.bar.more, self.bar.convert
        self.add_footer(self.bar)
        self.advanced.hide()

    def _connect(self) -> None:
        self.model.changed.connect(self._on_model)
        self.runtime.changed.connect(self._list_formats)
        self.quality.chosen.connect(self._on_choice)
        self.fits.changed.connect(self._on_fits)
        self.method.changed.connect(self._on_choice)
        self.importance.changed.connect(self._on_recipe)
        self.plans.changed.connect(self._on_plans)
        self.needs.changed.connect(self._on_needs)
        self.target.checked.connect(self._refresh)
        self.target.edited.connect(self._on_target_edited)
        self.more.toggled.connect(self._show_advanced)
        self.advanced.changed.connect(self._on_recipe)
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
            self.advanced.recipe.set_types(found.types)
            self.method.set_methods(found.methods)
            self.importance.reset()
            self._list_formats()
            self.tokens.set_most(found.model.context)
            self.fits.ask(self.model.path, found.model.context)
        else:
            self.fits.ask("")
        self._refresh()

    @Slot()
    def _list_formats(self) -> None:
        """List what the model can become for the chosen programs."""
        if self._inspection is not None:
            self.quality.show_model(self._inspection, self.runtime.runtime)
            if self.quality.choice is None:
                self._on_choice()  # nothing is possible, which nobody has chosen
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

    @Slot()
    def _on_choice(self) -> None:
        self.method.show_formats(self.quality.choices)
        self.importance.show_formats(self.method.chosen.weighed)
        self.advanced.show_methods(self.method.chosen)
        self._on_recipe()

    @Slot()
    def _on_fits(self) -> None:
        if self.model.inspection is not None:
            self.quality.show_fits(self.fits.found)
            self._show_fit()

    def _show_fit(self) -> None:
        choice = self.quality.choice
        if choice is None:
            return
        problem = self.fits.problem
        trouble = f"{problem.title} {problem.hint}".strip() if problem else ""
        if self.fits.is_busy and not self.fits.found:
            trouble = self.tr("Working out whether it runs here")
        self.quality.notes.show_fit(self.fits.found.get(choice.preset), trouble)

    @Slot()
    def _on_needs(self) -> None:
        self.target.show_needs(self.needs.found)
        self.importance.show_needs(self.needs.found)

    def _recipes(self) -> dict[str, Recipe]:
        """What is to be made, by preset."""
        make, weigh = self.advanced.recipe_of, self.importance.importance_for
        return {row.preset: make(row, weigh(row)) for row in self.quality.choices}

    @Slot()
    def _on_recipe(self) -> None:
        """Ask for the plans of what the list has no sizes of, and of what the panel shows."""
        self._show_fit()
        shown = self.quality.choice.preset if self.quality.choice else ""
        opened = self.more.isChecked()
        usual = {choice.preset: usual_recipe(choice) for choice in self.quality.choices}
        wanted = tuple(
            recipe
            for preset, recipe in self._recipes().items()
            if recipe != usual[preset] or (opened and preset == shown)
        )
        self.plans.ask(self.model.path, () if self.advanced.recipe.problem else wanted)
        self._look_at_target()
        self._refresh()

    @Slot()
    def _on_plans(self) -> None:
        if self.model.inspection is None:
            return
        choice = self.quality.choice
        recipe = self._recipes().get(choice.preset) if choice else None
        plan = self.plans.plan(recipe) if recipe else None
        self.advanced.show_plan(choice, plan, self.plans.problem)
        self._look_at_target()
        self._refresh()

    def _nbytes(self) -> int:
        """Bytes of all results; those of the usual recipes while the others are worked out."""
        plans = {preset: self.plans.plan(recipe) for preset, recipe in self._recipes().items()}
        return sum(
            plan.nbytes if (plan := plans[choice.preset]) else choice.nbytes
            for choice in self.quality.choices
        )

    def _look_at_target(self) -> None:
        """Check where the results go."""
        choices = self.quality.choices
        if self.model.inspection is None or not choices:
            return
        model, several = self.model.inspection.model.name, len(choices) > 1
        names = tuple(result_name(model, row.preset, row.extension) for row in choices)
        extension = choices[0].extension
        path = self.target.path
        if extension != self._extension and not several:
            path = renamed(path, self._extension, extension)
        self._extension = extension
        if self._suggested or not path:
            folder = Path(self.context.preferences.output_folder)
            path = str(folder if several else folder / names[0])
        elif several != self._several:  # a folder is wanted where a file was, or a file in it
            path = str(Path(path).parent if several else Path(path) / names[0])
        self._several = several
        jobs = (job for job in self.context.queue.jobs() if not job.state.is_final)
        waiting = (output.target for job in jobs for output in job.outputs)
        self.target.look_at(
            Target(
                path=path,
                extension=extension,
                nbytes=self._nbytes(),
                source=self.model.path,
                taken=frozenset(waiting),
                is_suggestion=self._suggested,
                names=names if several else (),
            )
        )

    @Slot(str)
    def _on_target_edited(self, text: str) -> None:
        self._suggested = not text

    @Slot(bool)
    def _show_advanced(self, opened: bool) -> None:
        self.advanced.setVisible(opened and self.model.inspection is not None)
        if opened:
            self._on_recipe()
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
        choices = self._chosen()
        trouble = self._trouble() if choices else self._refusal()
        self.form.setVisible(self.model.is_known)
        self.convert.setEnabled(bool(choices) and self.target.is_ready and not trouble)
        self.more.setEnabled(bool(choices))
        self.advanced.setVisible(bool(choices) and self.more.isChecked())
        if trouble:
            self.bar.show_trouble(trouble)
        else:
            self.bar.show_promise(self._promise(choices))
        self.quality.show_total(self._nbytes())
        self.bar.mark_more(not self.advanced.is_usual)
        self.needs.ask(self._job() if choices else None)
        if choices:
            self.advanced.set_command(self._command_line())

    def _chosen(self) -> tuple[FormatChoice, ...]:
        """What would be made; nothing without a model in sight."""
        return self.quality.choices if self.model.is_known and self.model.inspection else ()

    def _refusal(self) -> str:
        """Why nothing can be chosen although there is a model."""
        return self.quality.trouble if self.model.is_known and self._inspection else ""

    def _trouble(self) -> str:
        """Why the button cannot be pressed, in one sentence."""
        problem = self.plans.problem
        refused = problem.title if problem else self.quality.trouble
        return self.advanced.recipe.problem or refused or self.target.trouble

    def _promise(self, choices: tuple[FormatChoice, ...]) -> str:
        if not choices or self.model.inspection is None:
            return ""
        before = self.model.inspection.model.nbytes
        return phrases.promise(before, self._nbytes(), len(choices), download=self.model.is_remote)

    @override
    @Slot()
    def primary(self) -> None:
        if not self.convert.isEnabled():
            return
        job = self._job()
        try:
            for output in job.outputs:
                Path(output.target).parent.mkdir(parents=True, exist_ok=True)
            self.context.queue.submit(job)
        except OSError as error:
            text = self.tr("The job could not be saved. Make room on the disk, then try again.")
            self.context.desk.tell(Notice(text, details=str(error)))
            return
        self._suggested = True
        self._look_at_target()  # the next one gets a name of its own
        self.context.desk.open("queue", job.id)

    def _job(self) -> Job:
        """With the names that are wished for, while these are checked."""
        options, recipes = self.advanced.options, self._recipes().values()
        paths = self.target.paths or (self.target.path,) * len(recipes)
        outputs = (Output(path, recipe) for path, recipe in zip(paths, recipes, strict=True))
        job = Job(
            id=new_id(),
            source=self.model.path,
            outputs=tuple(outputs),
            device=options.device,
            threads=options.threads,
            evaluate=options.evaluate,
            overwrite=self.target.replaces,
            calibration=self.importance.calibration,
        )
        return self.advanced.method.show_model_to(job)

    def _command_line(self) -> str:
        own = {choice.preset: choice.method for choice in self.quality.choices}
        return shlex.join(job_words(self._job(), self.target.path, own))

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
        for asked in (self.fits, self.plans, self.needs):
            asked.close()
