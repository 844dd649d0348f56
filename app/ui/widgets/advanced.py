"""What most people never change: how a job is carried out, and what its results are made of."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QCheckBox, QComboBox, QFrame, QHBoxLayout, QVBoxLayout, QWidget

from app.core import words
from app.core.errors import AppError
from app.core.machine import Gpu
from app.core.model import FormatChoice
from app.core.recipe import Recipe
from app.ui.icons import Button, Picture
from app.ui.methods import ChosenMethods
from app.ui.plans import ResultPlan
from app.ui.recommend import usual_recipe
from app.ui.widgets.folding import Folding
from app.ui.widgets.marked_grid import MarkedGrid
from app.ui.widgets.method_form import MethodForm
from app.ui.widgets.plan_table import PlanTable
from app.ui.widgets.recipe_form import RecipeForm
from app.ui.widgets.text import ElidedLabel, label
from app.ui.widgets.thread_count import ThreadCount

_NOTABLE = 1000
"""A difference of a smaller part of a result is that of a few words in it."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a job is carried out, beside what it makes."""

    device: str = "cpu"
    threads: int = 0
    evaluate: bool = True


class AdvancedPanel(QFrame):
    """A card with the options, what they come to, and the same job as a command line."""

    changed = Signal()
    copy_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "card")
        self.setAccessibleName(self.tr("Advanced"))
        self._usual = Options()
        self.device = QComboBox()
        self.threads = ThreadCount()
        self.evaluate = QCheckBox(self.tr("Measure what is lost"))
        self.method = MethodForm()
        self.recipe = RecipeForm()
        self.tensors = PlanTable()
        self._tensors = Folding(self.tr("What every tensor becomes"), self.tensors)
        self._mark = Picture("alert", "careful", 16)
        self.result = label("", "quiet", wrap=True)
        self._command = ElidedLabel(role="secondary")
        self._grid = self._form()
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 16, 20, 16)
        column.setSpacing(10)
        column.addLayout(self._grid)
        for form in (self.method, self.recipe):
            column.addSpacing(8)
            column.addWidget(form)
        lower = QVBoxLayout()
        lower.setContentsMargins(22, 4, 0, 0)
        lower.setSpacing(10)
        lower.addLayout(self._result_row())
        lower.addWidget(self._tensors)
        lower.addLayout(self._command_row())
        column.addLayout(lower)
        self.device.currentIndexChanged.connect(self._on_change)
        self.threads.valueChanged.connect(self._on_change)
        self.evaluate.toggled.connect(self._on_change)
        self.method.changed.connect(self._on_change)
        self.recipe.changed.connect(self._on_change)
        self.show_plan(None, None)

    def set_machine(self, processor: str, threads: int, cards: tuple[Gpu, ...]) -> None:
        """Offer what this computer has."""
        chosen = self.device.currentData()
        self.device.blockSignals(True)
        self.device.clear()
        name = self.tr("Processor ({})").format(processor) if processor else self.tr("Processor")
        self.device.addItem(name, "cpu")
        for card in cards:
            if card.device:  # what PyTorch has no way to is no choice
                self.device.addItem(card.name, card.device)
        self.device.setCurrentIndex(max(0, self.device.findData(chosen)))
        self.device.blockSignals(False)
        self.threads.set_most(threads)

    def set_usual(self, usual: Options) -> None:
        """Use other defaults."""
        self._usual = usual
        self.threads.setValue(usual.threads)
        self.evaluate.setChecked(usual.evaluate)
        self._on_change()

    def show_methods(self, methods: ChosenMethods) -> None:
        """Be about the formats that are to be made, and the methods that they get."""
        self.method.show_methods(methods)
        self.recipe.show_kind(is_folder=any(not choice.extension for choice in methods.choices))

    def recipe_of(self, choice: FormatChoice, importance: str) -> Recipe:
        """What a format is made by, with all that is chosen here."""
        usual = replace(usual_recipe(choice), importance=importance)
        return self.method.apply(self.recipe.changes.apply(usual), choice)

    def set_command(self, text: str) -> None:
        """Show the job as a command line."""
        self._command.setText(text)

    def show_plan(
        self,
        choice: FormatChoice | None,
        plan: ResultPlan | None,
        problem: AppError | None = None,
    ) -> None:
        """Say what the options make of `choice`; no plan while nobody knows."""
        self._mark.setVisible(problem is not None)
        if problem is not None:
            self.result.setText(f"{problem.title} {problem.hint}".strip())
        elif choice is None or plan is None:
            self.result.setText(self.tr("Working out the size"))
        else:
            self.result.setText(self._sentence(choice, plan))
        self._tensors.setVisible(problem is None)
        if plan is not None:  # while it is worked out, what was there before stays
            self.tensors.show_kinds(plan.kinds)
            self.recipe.overrides.set_names(plan.names)

    @property
    def options(self) -> Options:
        """How the job is to be carried out."""
        return Options(
            device=str(self.device.currentData() or "cpu"),
            threads=self.threads.value(),
            evaluate=self.evaluate.isChecked(),
        )

    @property
    def is_usual(self) -> bool:
        """Whether nothing differs from the defaults."""
        as_usual = self.options == self._usual and not self.recipe.changes.differing
        return as_usual and self.method.is_usual

    def _sentence(self, choice: FormatChoice, plan: ResultPlan) -> str:
        parts = [
            f"{choice.preset}: {words.size(plan.nbytes)}",
            self.tr("{:.2f} bits a weight").format(plan.bits_per_weight),
        ]
        extra = plan.nbytes - choice.nbytes
        if abs(extra) > plan.nbytes // _NOTABLE:
            text = self.tr("{} more than usual") if extra > 0 else self.tr("{} less than usual")
            parts.append(text.format(words.size(abs(extra))))
        if plan.files > 1:
            text = self.tr("{} files") if choice.extension else self.tr("a folder of {} files")
            parts.append(text.format(plan.files))
        return "  ·  ".join(parts)

    def _form(self) -> MarkedGrid:
        grid = MarkedGrid()
        grid.add("device", self.tr("Run on"), self.device)
        grid.add(
            "threads", self.tr("Threads"), self.threads, self.tr("Fewer leave room for others")
        )
        grid.add(
            "evaluate",
            "",
            self.evaluate,
            self.tr("Reads a text with both models: perplexity, KL divergence, samples"),
        )
        return grid

    def _result_row(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self._mark)
        row.addWidget(self.result, 1)
        return row

    def _command_row(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(8)
        copy = Button(self.tr("Copy command"), icon_name="copy")
        copy.clicked.connect(self.copy_wanted)
        row.addWidget(copy)
        row.addWidget(self._command, 1)
        return row

    def _on_change(self) -> None:
        self.device.setToolTip(self.device.currentText())  # a long name is cut off
        now, usual = self.options, self._usual
        names = (field.name for field in fields(Options))
        self._grid.mark({name for name in names if getattr(now, name) != getattr(usual, name)})
        self.changed.emit()
