"""Choosing a model, and what is known of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import QTimer, Signal, Slot
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFileDialog, QVBoxLayout, QWidget

from app.core.errors import AppError
from app.core.hub import Convertible, is_hub_id
from app.core.model import Inspection
from app.core.places import sample_model
from app.ui.icons import Button
from app.ui.phrases import model_title
from app.ui.preferences import Preferences
from app.ui.probe import Probe
from app.ui.widgets.drop_zone import DropZone
from app.ui.widgets.model_card import ModelCard, Skeleton
from app.ui.widgets.problem_card import ProblemCard

_SKELETON_MS = 200
_HUB_ADDRESSES = ("https://", "huggingface.co/", "hf.co/")


def model_reference(text: str) -> str:
    """What a person typed, dropped or pasted, as the path or the hub name of a model."""
    for start in _HUB_ADDRESSES:
        text = text.removeprefix(start)
    if is_hub_id(text) and not Path(text).exists():
        return text
    place = Path(text)
    # A checkpoint is its folder; one of its files stands for all of them.
    return str(place.parent if place.suffix == ".safetensors" else place)


class ModelField(QWidget):
    """Shows one of: a place to drop a model, its outline, its card, or why it is none."""

    changed = Signal()
    """Another model is being read, `inspection` has come, or it never will."""

    def __init__(
        self, command: list[str], preferences: Preferences, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.path = ""
        self.inspection: Inspection | None = None
        self._preferences = preferences
        self._probe = Probe(command, self)
        self._probe.answered.connect(self._understand)
        self._probe.failed.connect(self._explain)
        self._waiting = QTimer(self, interval=_SKELETON_MS, singleShot=True)
        self._waiting.timeout.connect(self._show_skeleton)
        self.drop_zone = DropZone()
        self.skeleton = Skeleton()
        self.problem = ProblemCard()
        other = Button(self.tr("Choose another model"))
        other.clicked.connect(self.choose_folder)
        self.problem.add_action(other)
        self.card = ModelCard()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        for widget in (self.problem, self.drop_zone, self.skeleton, self.card):
            layout.addWidget(widget)
        self._show_only(self.drop_zone)
        self.drop_zone.folder_wanted.connect(self.choose_folder)
        self.drop_zone.file_wanted.connect(self.choose_file)
        self.drop_zone.sample_wanted.connect(self.use_sample)
        self.drop_zone.chosen.connect(self.open)
        self.card.change.menu().aboutToShow.connect(self._fill_menu)

    @property
    def is_remote(self) -> bool:
        """Whether the model is on the hub, and will be downloaded by the job."""
        return is_hub_id(self.path) and not Path(self.path).exists()

    @property
    def is_known(self) -> bool:
        """Whether a model is shown; the old one stays until there is something to see."""
        return self.card.isVisibleTo(self)

    @Slot()
    def choose_folder(self) -> None:
        """Ask for a checkpoint's folder."""
        path = QFileDialog.getExistingDirectory(self, self.tr("Choose a model's folder"))
        if path:
            self.open(path)

    @Slot()
    def choose_file(self) -> None:
        """Ask for a single-file model."""
        kinds = self.tr("Models (*.gguf *.safetensors)")
        path, _ = QFileDialog.getOpenFileName(self, self.tr("Choose a model's file"), "", kinds)
        if path:
            self.open(path)

    @Slot()
    def use_sample(self) -> None:
        """Take the small model that comes with the application."""
        self.open(str(sample_model()))

    @Slot()
    def ask_for_name(self) -> None:
        """Let a name of the hub be typed; one on the clipboard is there already."""
        copied = QGuiApplication.clipboard().text().strip()
        found = model_reference(copied) if copied else ""
        self.drop_zone.name.setText(found if is_hub_id(found) else "")
        self._show_only(self.drop_zone)
        self.drop_zone.name.setFocus()
        self.changed.emit()

    def back(self) -> bool:
        """Show the model again that was there before another was asked for."""
        if self.inspection is None or self.is_known:
            return False
        self._show_only(self.card)
        self.changed.emit()
        return True

    @Slot(str)
    def open(self, path: str) -> None:
        """Look at a model; the answer comes with `changed`."""
        self.path = model_reference(path)
        self.inspection = None
        self._waiting.start()
        self._probe.ask("inspect", self.path, "--json")
        self.changed.emit()

    def close_probe(self) -> None:
        """Stop looking at models, for good."""
        self._waiting.stop()
        self._probe.close()

    @Slot()
    def _show_skeleton(self) -> None:
        self.skeleton.show_path(self.path)
        self._show_only(self.skeleton)
        self.changed.emit()

    @Slot(object)
    def _understand(self, answer: dict[str, Any]) -> None:
        try:
            if answer.get("model") is None and "hub" in answer:
                reasons = Convertible.from_json(answer["hub"]["convertible"]).sentences
                self._explain(AppError(self.tr("This model cannot be read."), " ".join(reasons)))
                return
            self.inspection = Inspection.from_json(answer)
        except (ValueError, KeyError, TypeError) as error:
            title = self.tr("This model could not be read.")
            self._explain(AppError(title, details=str(error)))
            return
        self._waiting.stop()
        if self.path != str(sample_model()):  # it has a button of its own
            self._preferences.remember_model(self.path)
        self.card.show_model(self.inspection.model)
        self._show_only(self.card)
        self.changed.emit()

    @Slot(object)
    def _explain(self, error: AppError) -> None:
        self._waiting.stop()
        self._preferences.forget_model(self.path)
        self.problem.show_problem(error.title, error.hint, error.details)
        self._show_only(self.problem, self.drop_zone)
        self.changed.emit()

    def _show_only(self, *wanted: QWidget) -> None:
        for widget in (self.problem, self.drop_zone, self.skeleton, self.card):
            widget.setVisible(widget in wanted)
        if self.drop_zone in wanted:
            self.drop_zone.show_recent(self._preferences.recent)

    @Slot()
    def _fill_menu(self) -> None:
        menu = self.card.change.menu()
        menu.clear()
        menu.addAction(self.tr("Choose folder"), self.choose_folder)
        menu.addAction(self.tr("Choose file"), self.choose_file)
        menu.addAction(self.tr("Use the sample"), self.use_sample)
        menu.addAction(self.tr("Type a Hugging Face name"), self.ask_for_name)
        others = [path for path in self._preferences.recent if path != self.path]
        if others:
            menu.addSeparator()
        for path in others:
            action = menu.addAction(model_title(path))
            action.triggered.connect(lambda _checked=False, path=path: self.open(path))
