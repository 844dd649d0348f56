"""Under which circumstances a result is going to run: on what, in what, with how much text."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QLabel, QWidget

from app.ui.context import Context
from app.ui.widgets.context_choice import ContextChoice
from app.ui.widgets.run_on import RunOn
from app.ui.widgets.runtime_choice import RuntimeChoice
from app.ui.widgets.text import ElidedLabel, label

_CONTROL_WIDTH = 264


class Circumstances(QWidget):
    """Two lines: the computer and the length of the text; the programs."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.run_on = RunOn(context.machine)
        self.tokens = ContextChoice(context.preferences)
        self.runtime = RuntimeChoice(context.preferences, context.machine)
        for control in (self.run_on, self.runtime):
            control.setFixedWidth(_CONTROL_WIDTH)
        self._about = ElidedLabel(role="secondary")
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 8, 0, 0)
        grid.setHorizontalSpacing(10)
        grid.setVerticalSpacing(8)
        grid.setColumnStretch(3, 1)
        top = Qt.AlignmentFlag.AlignTop
        grid.addWidget(_caption(self.tr("Run it on")), 0, 0, top)
        grid.addWidget(self.run_on, 0, 1, top)
        grid.addWidget(_caption(self.tr("Context")), 0, 2, top)
        grid.addWidget(self.tokens, 0, 3, top | Qt.AlignmentFlag.AlignLeft)
        grid.addWidget(_caption(self.tr("For")), 1, 0, top)
        grid.addWidget(self.runtime, 1, 1, top)
        grid.addWidget(self._about, 1, 2, 1, 2)
        self.runtime.changed.connect(self._explain)
        self._explain()

    def _explain(self) -> None:
        self._about.setText(self.runtime.explanation)


def _caption(text: str) -> QLabel:
    caption = label(text)
    caption.setContentsMargins(0, 8, 4, 0)
    return caption
