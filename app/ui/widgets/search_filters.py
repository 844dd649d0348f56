"""What results have to be like, and in which order they come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QCheckBox, QComboBox, QGridLayout, QHBoxLayout, QWidget
from typing_extensions import override

from app.core.fit import Fit, FitWord
from app.core.hub import HubModel
from app.ui.hub_search import Question
from app.ui.widgets.fit_mark import ORDER

_ANY = (0.0, float("inf"))
_SIZES = ((0.0, 3e9), (3e9, 9e9), (9e9, 20e9), (20e9, 40e9), (40e9, float("inf")))
_BEST = "fits"
#: Licences that allow nearly everything, by the hub's names of them.
_FREE = {"apache-2.0", "mit", "bsd", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "unlicense", "isc"}
_RUNS_NOT = {FitWord.NOT, FitWord.ELSEWHERE, FitWord.UNKNOWN}


class SearchFilters(QWidget):
    """The hub knows some of them; the others are applied to what it answers."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.kind = self._combo(
            self.tr("Kind"),
            ((self.tr("Originals"), "original"), ("GGUF", "gguf"), (self.tr("All kinds"), "")),
        )
        self.task = self._combo(
            self.tr("Task"),
            (
                (self.tr("Text"), "text-generation"),
                (self.tr("Pictures and text"), "image-text-to-text"),
                (self.tr("All tasks"), ""),
            ),
        )
        sizes = [(self._span(low, high), (low, high)) for low, high in _SIZES]
        self.size_band = self._combo(self.tr("Size"), ((self.tr("Any size"), _ANY), *sizes))
        self.licence = self._combo(
            self.tr("Licence"), ((self.tr("Any licence"), ""), (self.tr("Free licences"), "free"))
        )
        self.order = self._combo(
            self.tr("Order"),
            (
                (self.tr("Popular now"), "trending"),
                (self.tr("Most downloads"), "downloads"),
                (self.tr("Most liked"), "likes"),
                (self.tr("Changed lately"), "updated"),
                (self.tr("Fits best"), _BEST),
            ),
        )
        self.runs = QCheckBox(self.tr("Runs here"))
        self.open = QCheckBox(self.tr("No sign-in"))
        self._combos, self._boxes = QWidget(), QWidget()
        for holder, controls in (
            (self._combos, (self.kind, self.task, self.size_band, self.licence, self.order)),
            (self._boxes, (self.runs, self.open)),
        ):
            row = QHBoxLayout(holder)
            row.setContentsMargins(0, 0, 0, 0)
            row.setSpacing(6)
            for control in controls:
                row.addWidget(control)
        for box in (self.runs, self.open):
            box.toggled.connect(self.changed)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(6)
        self._grid.setColumnStretch(2, 1)
        left = Qt.AlignmentFlag.AlignLeft
        self._grid.addWidget(self._combos, 0, 0, left)
        self._grid.addWidget(self._boxes, 1, 0, left)

    def question(self, text: str) -> Question:
        """What to ask the hub."""
        order = self.order.currentData()
        return Question(
            text=text.strip(),
            task=self.task.currentData(),
            kind=self.kind.currentData(),
            sort="trending" if order == _BEST else order,
        )

    def sifted(self, models: Sequence[HubModel], fits: Mapping[int, Fit]) -> list[HubModel]:
        """The models that pass, in the order that is wanted."""
        low, high = self.size_band.currentData()
        kept = [
            model
            for model in models
            if low <= model.parameters < high
            and (not self.licence.currentData() or model.licence in _FREE)
            and not (self.open.isChecked() and model.gated)
            and (not self.runs.isChecked() or _word(model, fits) not in _RUNS_NOT)
        ]
        if self.order.currentData() == _BEST:
            # The largest of those that fit well is the best that this computer can have.
            kept.sort(key=lambda model: (ORDER[_word(model, fits)], -model.parameters))
        return kept

    @override
    def resizeEvent(self, event: QResizeEvent) -> None:
        """The ticks go into a second line where there is no room beside the lists."""
        super().resizeEvent(event)
        needed = self._combos.sizeHint().width() + self._boxes.sizeHint().width() + 12
        place = (0, 1) if needed <= self.width() else (1, 0)
        self._grid.addWidget(self._boxes, *place, Qt.AlignmentFlag.AlignLeft)

    def _combo(self, name: str, choices: Sequence[tuple[str, object]]) -> QComboBox:
        combo = QComboBox()
        combo.setAccessibleName(name)
        combo.setToolTip(name)
        for text, value in choices:
            combo.addItem(text, value)
        combo.currentIndexChanged.connect(self.changed)
        return combo

    def _span(self, low: float, high: float) -> str:
        if not low:
            return self.tr("under {:.0f} B").format(high / 1e9)
        if high == float("inf"):
            return self.tr("over {:.0f} B").format(low / 1e9)
        return self.tr("{:.0f} to {:.0f} B").format(low / 1e9, high / 1e9)


def _word(model: HubModel, fits: Mapping[int, Fit]) -> FitWord:
    fit = fits.get(model.parameters)
    return fit.word if fit else FitWord.UNKNOWN
