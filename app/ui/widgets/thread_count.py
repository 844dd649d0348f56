"""How many processor threads a job may use."""

from __future__ import annotations

from PySide6.QtWidgets import QSpinBox, QWidget


class ThreadCount(QSpinBox):
    """0 means all, and says so."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMinimum(0)
        self.setMinimumWidth(120)
        self.setAccessibleName(self.tr("Processor threads"))
        self.lineEdit().setTextMargins(8, 0, 0, 0)  # the stylesheet's padding does not reach it

    def set_most(self, threads: int) -> None:
        """The processor runs this many at once."""
        self.setMaximum(threads)
        self.setSpecialValueText(self.tr("All {}").format(threads))
