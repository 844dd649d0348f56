"""The lower edge of the window: the machine, and what is being done."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QWidget

from app.core import words
from app.ui.icons import Button
from app.ui.machine import Machine


class StatusLine(QFrame):
    """Short facts; a click on one opens its page."""

    page_wanted = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("status")
        self.card = Button("", "status", "gpu")
        self.memory = Button("", "status", "memory")
        self.jobs = Button("", "status", "running")
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 4, 12, 4)
        row.setSpacing(8)
        row.addWidget(self.card)
        row.addWidget(self.memory)
        row.addStretch()
        row.addWidget(self.jobs)
        self.card.hide()
        for button in (self.card, self.memory):
            button.clicked.connect(lambda: self.page_wanted.emit("computer"))
        self.jobs.clicked.connect(lambda: self.page_wanted.emit("queue"))

    def show_machine(self, machine: Machine) -> None:
        """Show what is free."""
        free = words.memory(machine.memory.available)
        self.memory.setText(
            self.tr("Memory {} of {} free").format(free, words.memory(machine.memory.total))
        )
        # Grows and never shrinks: what stands beside it must not move with every reading.
        self.memory.setMinimumWidth(max(self.memory.minimumWidth(), self.memory.sizeHint().width()))
        self.card.setVisible(bool(machine.cards))
        if machine.cards:
            first = machine.cards[0]
            self.card.setText(f"{first.name}, {words.memory(first.total)}")

    def show_jobs(self, text: str) -> None:
        """Say what is being done; "" for nothing."""
        self.jobs.setText(text or self.tr("Nothing is running"))
