"""How the numbers of a result are chosen: a method, its options, and what it is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from PySide6.QtCore import QCoreApplication, Qt, Signal, Slot
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QVBoxLayout, QWidget

from app.core.job import Job
from app.core.model import FormatChoice, MethodFacts
from app.core.recipe import Recipe
from app.ui.icons import Button
from app.ui.widgets.calibration_form import CalibrationForm
from app.ui.widgets.marked_grid import MarkedGrid
from app.ui.widgets.option_editors import OptionForm
from app.ui.widgets.text import label

_INDENT = 22
_TITLES = {
    "nearest": "Round to nearest",
    "clipped": "Clipped rounding",
    "gptq": "GPTQ",
    "hqq": "HQQ",
    "awq": "AWQ",
    "smoothquant": "SmoothQuant",
}


def method_title(name: str) -> str:
    """What people call a method: "AWQ, then GPTQ"."""
    parts = [_TITLES.get(part, part) for part in name.split("+")]
    then = QCoreApplication.translate("MethodForm", "{}, then {}")
    return then.format(*parts) if len(parts) == 2 else parts[0]


class MethodForm(QWidget):
    """Offers what fits the chosen formats; the options are made of the method's own fields."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._known: Mapping[str, MethodFacts] = {}
        self._choices: Sequence[FormatChoice] = ()
        self._own = ""  # the user's choice for this model; "" for each format's own
        self.method = QComboBox()
        self.method.activated.connect(self._on_activated)
        self.sentence = label("", "secondary", wrap=True)
        self.reset = Button(self.tr("Reset options"), "link")
        self.options = OptionForm(())
        self.calibration = CalibrationForm()
        self.calibration.changed.connect(self._on_change)
        self.reset.clicked.connect(self._reset)
        self._head = MarkedGrid()
        self._head.add("method", self.tr("Method"), self.method)
        below = QHBoxLayout()
        below.setContentsMargins(_INDENT, 0, 0, 0)
        below.addWidget(self.sentence, 1)
        below.addWidget(self.reset, 0, Qt.AlignmentFlag.AlignTop)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(10)
        self._column.addLayout(self._head)
        self._column.addLayout(below)
        self._column.addWidget(self.options)
        self._column.addWidget(self.calibration)
        self._show_method()
        self._fill()

    # What is offered

    def set_methods(self, known: Sequence[MethodFacts]) -> None:
        """Another model: these are all methods there are, and nothing is chosen for it."""
        self._known = {method.name: method for method in known}
        self._own = ""
        self._show_method()
        self._fill()

    def show_formats(self, choices: Sequence[FormatChoice]) -> None:
        """Be about the formats that are to be made."""
        self._choices = choices
        self._fill()

    def choose(self, name: str) -> None:
        """Take a method, as the user does; "" for each format's own."""
        if name != self._own:
            self._own = name
            self._show_method()
            self._fill()
            self.changed.emit()

    # What is chosen

    def apply(self, recipe: Recipe, choice: FormatChoice) -> Recipe:
        """The recipe of a format with the chosen method, where that fits."""
        if self._own not in choice.methods:
            return recipe
        # What sees the model at work knows better than a matrix what errors count.
        weighs = choice.needs_importance or not self.is_calibrated
        importance = recipe.importance if weighs else ""
        chosen = self.options.chosen
        return replace(recipe, method=self._own, options=chosen, importance=importance)

    def show_model_to(self, job: Job) -> Job:
        """The job with what the model is shown; unchanged where that changes nothing."""
        if not self._is_shown_text:
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
    def is_calibrated(self) -> bool:
        """Whether the chosen method has to see the model at work."""
        method = self._known.get(self._own)
        return method is not None and method.is_calibrated

    @property
    def is_usual(self) -> bool:
        """Whether every format has its own method."""
        return not any(self._own in choice.methods for choice in self._choices)

    @property
    def _is_shown_text(self) -> bool:
        """Whether the model is seen at work for one of the formats."""
        by_method = self.is_calibrated and not self.is_usual
        return by_method or any(choice.is_shown_text for choice in self._choices)

    # Showing

    def _fill(self) -> None:
        """Offer each method that fits one of the formats."""
        names = dict.fromkeys(name for choice in self._choices for name in choice.methods)
        self.method.clear()
        self.method.addItem(self.tr("As the format says"), "")
        for name in names:
            self.method.addItem(method_title(name), name)
        self.method.setCurrentIndex(max(0, self.method.findData(self._own)))
        self.method.setEnabled(len(names) > 1)
        self._explain()

    def _show_method(self) -> None:
        """The options of the chosen method."""
        method = self._known.get(self._own)
        old, self.options = self.options, OptionForm(method.options if method else ())
        self.options.changed.connect(self._on_change)
        self._column.replaceWidget(old, self.options)
        old.deleteLater()

    def _explain(self) -> None:
        usual = self.is_usual
        self._head.mark(set() if usual else {"method"})
        self.options.setVisible(not usual and bool(self.options.editors))
        self.calibration.setVisible(self._is_shown_text)
        self.reset.setVisible(not usual and bool(self.options.chosen))
        self.sentence.setText(self._text())
        self.method.setAccessibleDescription(self.sentence.text())

    def _text(self) -> str:
        if self.is_usual:
            names = {choice.method for choice in self._choices}
            method = self._known.get(names.pop()) if len(names) == 1 else None
            return f"{method_title(method.name)}: {method.summary}" if method else ""
        others = [choice.preset for choice in self._choices if self._own not in choice.methods]
        parts = [self._known[self._own].summary]
        if others:
            stays = self.tr("It does not suit {}, which keeps its own method.")
            parts.append(stays.format(", ".join(others)))
        return " ".join(parts)

    @Slot()
    def _reset(self) -> None:
        self.options.reset()

    @Slot()
    def _on_change(self) -> None:
        self._explain()
        self.changed.emit()

    @Slot(int)
    def _on_activated(self, place: int) -> None:
        self.choose(str(self.method.itemData(place)))
