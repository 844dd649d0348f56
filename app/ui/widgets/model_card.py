"""A model at a glance, and what stands in its place while it is read."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QMenu, QVBoxLayout, QWidget

from app.core import words
from app.core.model import ModelFacts
from app.ui.icons import Button, Picture
from app.ui.widgets.text import ElidedLabel


class ModelCard(QFrame):
    """Name, family, size and place of a model, and a menu to take another one."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "card")
        self._name = ElidedLabel(role="section")
        self._facts = ElidedLabel()
        self._path = ElidedLabel(role="secondary", mode=Qt.TextElideMode.ElideMiddle)
        self.change = Button(self.tr("Change"))
        self.change.setAccessibleName(self.tr("Change the model"))
        self.change.setMenu(QMenu(self.change))
        text = QVBoxLayout()
        text.setSpacing(4)
        text.addWidget(self._name)
        text.addWidget(self._facts)
        text.addWidget(self._path)
        row = QHBoxLayout(self)
        row.setContentsMargins(20, 16, 16, 16)
        row.setSpacing(16)
        row.addWidget(Picture("model", "accent", 32), 0, Qt.AlignmentFlag.AlignVCenter)
        row.addLayout(text, 1)
        row.addWidget(self.change, 0, Qt.AlignmentFlag.AlignVCenter)

    def show_model(self, model: ModelFacts) -> None:
        """Describe `model`."""
        parts = [
            model.architecture,
            self.tr("{} weights").format(words.count(model.weights)),
            words.size(model.nbytes),
            model.dtype,
        ]
        if model.layers:
            parts.append(self.tr("{} layers").format(model.layers))
        if model.context:
            parts.append(self.tr("context {:,}").format(model.context))
        self._name.setText(model.name)
        self._facts.setText("  ·  ".join(parts))
        self._path.setText(model.path)
        self.setAccessibleName(f"{model.name}: {', '.join(parts)}")


class Skeleton(QFrame):
    """The outline of a card whose content is on its way."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "card")
        self.setAccessibleName(self.tr("Reading the model"))
        self._text = ElidedLabel(role="secondary")
        bars = QVBoxLayout()
        bars.setSpacing(9)
        for width in (180, 320):
            bar = QFrame()
            bar.setProperty("role", "skeleton")
            bar.setFixedSize(width, 14)
            bars.addWidget(bar)
        bars.addWidget(self._text)
        row = QHBoxLayout(self)
        row.setContentsMargins(20, 16, 16, 16)
        row.setSpacing(16)
        row.addWidget(Picture("model", "control", 32), 0, Qt.AlignmentFlag.AlignVCenter)
        row.addLayout(bars, 1)

    def show_path(self, path: str) -> None:
        """Say what is being read."""
        self._text.setText(self.tr("Reading {}").format(path))
