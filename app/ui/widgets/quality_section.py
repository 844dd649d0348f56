"""The part of the form where qualities are chosen: the list and what can be done with it."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QSize, Qt, Signal, Slot
from PySide6.QtWidgets import QCheckBox, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from app.core import words
from app.core.fit import Fit
from app.core.model import FormatChoice, Inspection
from app.core.runtime import Runtime
from app.ui.icons import Button
from app.ui.page import section
from app.ui.recommend import make_it_fit
from app.ui.widgets.choice_notes import ChoiceNotes
from app.ui.widgets.format_table import FormatTable
from app.ui.widgets.text import label


class QualitySection(QWidget):
    """Heading with its controls, the list, and what is to be known of the current format."""

    chosen = Signal()
    """There is news about `choice` or `choices`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._inspection: Inspection | None = None
        self._listed: tuple[FormatChoice, ...] = ()
        self._advised = ""
        self.formats = FormatTable()
        self.filter = QLineEdit()
        self.filter.setPlaceholderText(self.tr("Filter: 4-bit, small"))
        self.filter.setAccessibleName(self.tr("Filter the formats"))
        self.filter.setFixedWidth(200)
        self.fitting = Button(self.tr("Make it fit"), icon_name="memory")
        self.fitting.setToolTip(self.tr("Choose the best quality that fits well on this computer"))
        self.all = Button("", "link")
        self.all.setCheckable(True)
        self.advice = label("", "quiet", wrap=True)
        self.together = label("", "strong")
        self.notes = ChoiceNotes()
        self.twice = QCheckBox(self.tr("Convert it although accuracy is lost twice"))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addLayout(self._head())
        column.addWidget(self.formats)
        for text in (self.advice, self.together):
            text.setContentsMargins(2, 4, 0, 0)
            text.hide()
            column.addWidget(text)
        column.addWidget(self.notes)
        column.addWidget(self.twice)
        self.formats.chosen.connect(self._on_chosen)
        self.filter.textChanged.connect(self.formats.keep)
        self.twice.toggled.connect(self.chosen)
        self.fitting.clicked.connect(self._make_it_fit)
        self.all.toggled.connect(self._show_all)

    @property
    def choice(self) -> FormatChoice | None:
        """The format that is described."""
        return self.formats.choice()

    @property
    def choices(self) -> tuple[FormatChoice, ...]:
        """The formats to make."""
        return self.formats.choices()

    @property
    def trouble(self) -> str:
        """Why the chosen formats cannot be made yet, in one sentence; "" when they can."""
        if self._listed and all(row.problem for row in self._listed):
            problem = self._listed[0].problem
            return f"{problem.title} {problem.hint}".strip() if problem else ""
        if any(row.requantize for row in self.choices) and not self.twice.isChecked():
            return self.tr("This model is quantized already: the original would be better.")
        return ""

    def show_model(self, found: Inspection, runtime: Runtime) -> None:
        """List everything that a model can become for some programs."""
        if found is not self._inspection:
            self.twice.setChecked(False)
        self._inspection = found
        self._listed = tuple(row for row in found.choices if runtime in row.runtimes)
        self.advice.hide()
        self.fitting.setEnabled(False)
        self.twice.setVisible(any(row.requantize for row in self._listed))
        self.formats.show_choices(self._listed, found.model.nbytes)
        self._label_all()

    def show_fits(self, fits: Mapping[str, Fit]) -> None:
        """Say for each format whether it runs here."""
        self.advice.hide()  # it was about other circumstances
        self.fitting.setEnabled(bool(fits))
        self.formats.show_fits(fits)
        self._label_all()

    def show_total(self, nbytes: int) -> None:
        """Say what several chosen formats come to."""
        several = len(self.choices)
        text = self.tr("{} formats chosen, {} together").format(several, words.size(nbytes))
        self.together.setText(text)
        self.together.setVisible(several > 1)

    def _head(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.addWidget(section(self.tr("Quality")), 0, Qt.AlignmentFlag.AlignBottom)
        row.addStretch(1)  # the filter would take a part of the room otherwise
        controls = QHBoxLayout()
        controls.setContentsMargins(0, 8, 0, 0)
        controls.setSpacing(12)
        for widget in (self.filter, self.fitting, self.all):
            controls.addWidget(widget, 0, Qt.AlignmentFlag.AlignVCenter)
        row.addLayout(controls)
        self.filter.hide()
        self.fitting.setIconSize(QSize(18, 18))
        return row

    @Slot(object)
    def _on_chosen(self, choice: FormatChoice) -> None:
        self.notes.show_choice(choice)
        if choice.preset != self._advised:
            self.advice.hide()
        self.chosen.emit()

    @Slot()
    def _make_it_fit(self) -> None:
        found = self._inspection
        if found is None:
            return
        advice = make_it_fit(self._listed, self.formats.fits, found.model.nbytes)
        self._advised = advice.preset if advice else ""
        if advice is not None:
            self.formats.choose(advice.preset)
        self.advice.setText(
            advice.reason
            if advice
            else self.tr("No format fits on this computer with this context: choose a smaller one.")
        )
        self.advice.show()

    @Slot(bool)
    def _show_all(self, everything: bool) -> None:
        self.filter.setVisible(everything)
        self.filter.clear()
        self.formats.show_all(everything)
        self._label_all()

    def _label_all(self) -> None:
        if self.all.isChecked():
            self.all.setText(self.tr("Show fewer"))
        elif self._inspection is not None:
            self.all.setText(self.tr("Show all {}").format(len(self._listed)))
        self.all.setVisible(self.all.isChecked() or self.formats.hidden_rows > 0)
