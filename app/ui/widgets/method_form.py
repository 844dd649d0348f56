"""What most people never change of the chosen method: its options, and what it is shown."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.core.job import Job
from app.core.model import FormatChoice
from app.core.recipe import Recipe
from app.ui.icons import Button
from app.ui.methods import ChosenMethods, method_title
from app.ui.widgets.calibration_form import CalibrationForm
from app.ui.widgets.option_editors import OptionForm
from app.ui.widgets.text import label

_INDENT = 22


class MethodForm(QWidget):
    """Options are made of the method's own fields; out of sight where there is nothing to set."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._methods = ChosenMethods()
        self._forms: dict[str, OptionForm] = {}  # by method: what was set comes back with it
        self.options = self._form()
        self.heading = label("", "strong")
        self.reset = Button(self.tr("Reset options"), "link")
        self.reset.clicked.connect(self._reset)
        kept = self.reset.sizePolicy()
        kept.setRetainSizeWhenHidden(True)  # nothing jumps when it appears
        self.reset.setSizePolicy(kept)
        self.calibration = CalibrationForm()
        self.calibration.changed.connect(self._on_change)
        head = QHBoxLayout()
        head.setContentsMargins(_INDENT, 0, 0, 0)
        head.addWidget(self.heading, 1)
        head.addWidget(self.reset, 0, Qt.AlignmentFlag.AlignTop)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(10)
        self._column.addLayout(head)
        self._column.addWidget(self.options)
        self._column.addWidget(self.calibration)
        self._refresh()

    def show_methods(self, methods: ChosenMethods) -> None:
        """Be about the methods that the formats get."""
        if methods.known is not self._methods.known:  # another model
            self._forget()
        self._methods = methods
        form = self._form()
        if form is not self.options:
            self.options.hide()
            self._column.replaceWidget(self.options, form)
            self.options = form
        self._refresh()

    def apply(self, recipe: Recipe, choice: FormatChoice) -> Recipe:
        """The recipe of a format with the method that it gets."""
        name = self._methods.name_for(choice)
        options = self.options.chosen if name == self._methods.common else ()
        return replace(recipe, method=name, options=options)

    def show_model_to(self, job: Job) -> Job:
        """The job with what the model is shown; unchanged where that changes nothing."""
        if not self._methods.is_shown_text:
            return job
        shown = self.calibration
        return replace(
            job,
            calibration=shown.path or job.calibration,
            samples=shown.samples.value(),
            length=shown.length.value(),
            seed=shown.seed.value(),
        )

    @property
    def is_usual(self) -> bool:
        """Whether nothing that counts differs from the defaults."""
        shown_as_usual = self.calibration.is_usual or not self._methods.is_shown_text
        return shown_as_usual and not self.options.chosen

    def _form(self) -> OptionForm:
        """The options of the common method; none where the formats' methods differ."""
        name, facts = self._methods.common, self._methods.facts
        if name not in self._forms:
            form = self._forms[name] = OptionForm(facts.options if facts else ())
            form.changed.connect(self._on_change)
        return self._forms[name]

    def _forget(self) -> None:
        for form in self._forms.values():
            form.deleteLater()
        self._forms.clear()

    def _refresh(self) -> None:
        has_options, is_shown_text = bool(self.options.editors), self._methods.is_shown_text
        self.setVisible(has_options or is_shown_text)
        self.heading.setText(method_title(self._methods.common))
        self.heading.setVisible(has_options)
        self.options.setVisible(has_options)
        self.reset.setVisible(bool(self.options.chosen))
        self.calibration.setVisible(is_shown_text)

    @Slot()
    def _reset(self) -> None:
        self.options.reset()

    @Slot()
    def _on_change(self) -> None:
        self._refresh()
        self.changed.emit()
