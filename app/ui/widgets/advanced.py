"""What most people never change: device, threads, measuring, and one format for all."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QWidget,
)

from app.core.machine import Gpu
from app.ui.icons import Button
from app.ui.widgets.text import ElidedLabel, label
from app.ui.widgets.thread_count import ThreadCount


@dataclass(frozen=True, slots=True)
class Options:
    """How a job is carried out, beside what it makes."""

    device: str = "cpu"
    threads: int = 0
    evaluate: bool = True
    pure: bool = False


class AdvancedPanel(QFrame):
    """A card with the options, and the same job as a command line."""

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
        self.pure = QCheckBox(self.tr("Same format for every part"))
        self._command = ElidedLabel(role="secondary")
        self._marks: dict[str, QLabel] = {}
        grid = self._form()
        self.setLayout(grid)
        row = grid.rowCount()
        grid.addLayout(self._command_row(), row, 1, 1, 3)
        self.device.currentIndexChanged.connect(self._on_change)
        self.threads.valueChanged.connect(self._on_change)
        self.evaluate.toggled.connect(self._on_change)
        self.pure.toggled.connect(self._on_change)

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

    def set_command(self, text: str) -> None:
        """Show the job as a command line."""
        self._command.setText(text)

    @property
    def options(self) -> Options:
        """What is chosen."""
        return Options(
            device=str(self.device.currentData() or "cpu"),
            threads=self.threads.value(),
            evaluate=self.evaluate.isChecked(),
            pure=self.pure.isChecked(),
        )

    @property
    def is_usual(self) -> bool:
        """Whether nothing differs from the defaults."""
        return self.options == self._usual

    def _form(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setContentsMargins(8, 16, 20, 16)
        grid.setHorizontalSpacing(12)
        grid.setVerticalSpacing(10)
        grid.setColumnStretch(3, 1)
        rows = (
            ("device", self.tr("Run on"), self.device, ""),
            ("threads", self.tr("Threads"), self.threads, self.tr("Fewer leave room for others")),
            (
                "evaluate",
                "",
                self.evaluate,
                self.tr("Reads a text with both models: perplexity, KL divergence, samples"),
            ),
            (
                "pure",
                "",
                self.pure,
                self.tr("No larger formats for the parts that suffer most; for comparisons"),
            ),
        )
        for row, (key, name, widget, explanation) in enumerate(rows):
            mark = label("●")
            mark.setStyleSheet("font-size: 8px;")
            mark.setFixedWidth(10)
            mark.setToolTip(self.tr("Differs from the default"))
            self._marks[key] = mark
            grid.addWidget(mark, row, 0)
            if name:
                caption = label(name)
                caption.setBuddy(widget)
                grid.addWidget(caption, row, 1)
                grid.addWidget(widget, row, 2)
                widget.setAccessibleName(name)
            else:
                grid.addWidget(widget, row, 1, 1, 2)
            grid.addWidget(ElidedLabel(explanation, "secondary"), row, 3)
        self.device.setMinimumWidth(200)
        return grid

    def _command_row(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(8)
        copy = Button(self.tr("Copy command"), icon_name="copy")
        copy.clicked.connect(self.copy_wanted)
        row.addWidget(copy)
        row.addWidget(self._command, 1)
        return row

    def _on_change(self) -> None:
        now, usual = self.options, self._usual
        for key, mark in self._marks.items():
            mark.setText("●" if getattr(now, key) != getattr(usual, key) else "")
        self.changed.emit()
