"""What should be known of the chosen format before starting."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.core import words
from app.core.fit import Fit
from app.core.model import Fallback, FormatChoice
from app.ui.widgets.fit_mark import FitMark, fit_summary
from app.ui.widgets.folding import Folding
from app.ui.widgets.text import label

_SHOWN = 200


class ChoiceNotes(QWidget):
    """A sentence on the format, its notes, and the tensors that cannot have it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._about = label("", "quiet", wrap=True)
        self.fit = FitMark()
        self.fit_text = label("", "quiet", wrap=True)
        self._notes = label("", "quiet", wrap=True)
        self._list = label("", "secondary", wrap=True)
        self._folding = Folding("", self._list)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(2, 4, 0, 0)
        layout.setSpacing(4)
        fit = QHBoxLayout()
        fit.setSpacing(8)
        fit.addWidget(self.fit, 0, Qt.AlignmentFlag.AlignTop)
        fit.addWidget(self.fit_text, 1)
        layout.addWidget(self._about)
        layout.addLayout(fit)
        layout.addWidget(self._notes)
        layout.addWidget(self._folding)

    def show_choice(self, choice: FormatChoice) -> None:
        """Describe `choice`."""
        runs_in = self.tr("Runs in {}.").format(choice.runs_in)
        self._about.setText(f"{choice.summary} {runs_in}")
        self._notes.setText("\n".join(choice.notes))
        self._notes.setVisible(bool(choice.notes))
        self._folding.setVisible(bool(choice.fallbacks))
        self._folding.set_title(self.tr("Show the {} tensors").format(len(choice.fallbacks)))
        self._list.setText("\n".join(self._line(item) for item in choice.fallbacks[:_SHOWN]))

    def show_fit(self, fit: Fit | None, trouble: str = "") -> None:
        """Say whether it runs, or why that is not known; both empty while nobody knows yet."""
        self.fit.setVisible(fit is not None)
        self.fit.show_fit(fit, self.tr("Runs here"))
        text = fit_summary(fit) if fit else trouble
        self.fit_text.setText(text)
        self.fit_text.setVisible(bool(text))

    def _line(self, item: Fallback) -> str:
        return self.tr("{}: {} instead of {}, {} more").format(
            item.tensor, item.encoding, item.wanted, words.size(item.extra_bytes)
        )
