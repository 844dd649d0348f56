"""The first step: where a model is dropped or chosen."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtGui import QDragEnterEvent, QDragLeaveEvent, QDropEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget
from typing_extensions import override

from app.ui.icons import Button, Picture
from app.ui.phrases import model_title
from app.ui.widgets.clear import clear
from app.ui.widgets.text import label, set_role

_RECENT = 4


def dropped_path(event: QDragEnterEvent | QDropEvent) -> str:
    """The single local file or folder that is being dragged; "" for anything else."""
    urls = event.mimeData().urls()
    return urls[0].toLocalFile() if len(urls) == 1 and urls[0].isLocalFile() else ""


class DropZone(QFrame):
    """Takes a model by drag and drop, by file dialog, from the recent ones, or the sample."""

    folder_wanted = Signal()
    file_wanted = Signal()
    sample_wanted = Signal()
    chosen = Signal(str)
    """Path of a model"""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "drop")
        self.setAcceptDrops(True)
        self.setAccessibleName(self.tr("Choose a model"))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(24, 32, 24, 32)
        layout.setSpacing(8)
        layout.addWidget(Picture("drop", side=32), 0, Qt.AlignmentFlag.AlignHCenter)
        layout.addSpacing(4)
        centre = Qt.AlignmentFlag.AlignHCenter
        layout.addWidget(label(self.tr("Drop a model here"), "section"), 0, centre)
        what = self.tr("A folder from Hugging Face with safetensors files, or a .gguf file")
        layout.addWidget(label(what, "quiet"), 0, centre)
        layout.addSpacing(12)
        layout.addLayout(self._buttons())
        layout.addSpacing(4)
        layout.addLayout(self._paste_row())
        self._recent = QHBoxLayout()
        self._recent.setSpacing(16)
        layout.addSpacing(8)
        layout.addLayout(self._recent)

    def show_recent(self, paths: list[str]) -> None:
        """Offer these models below the buttons."""
        clear(self._recent)
        if not paths:
            return
        self._recent.addStretch()
        self._recent.addWidget(label(self.tr("Recent:"), "quiet"))
        for path in paths[:_RECENT]:
            button = Button(model_title(path), "link")
            button.setToolTip(path)
            button.clicked.connect(lambda _checked=False, path=path: self.chosen.emit(path))
            self._recent.addWidget(button)
        self._recent.addStretch()

    def _paste_row(self) -> QHBoxLayout:
        self.name = QLineEdit()
        self.name.setPlaceholderText(self.tr("or paste a Hugging Face name: Qwen/Qwen3-8B"))
        self.name.setAccessibleName(self.tr("Hugging Face name"))
        self.name.setMaximumWidth(420)
        self.name.textChanged.connect(self._on_name)
        self.name.returnPressed.connect(self._take_name)
        self.take = Button(self.tr("Open"))
        self.take.setAccessibleName(self.tr("Open this model"))
        self.take.setEnabled(False)
        self.take.clicked.connect(self._take_name)
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addStretch(1)
        row.addWidget(self.name, 2)
        row.addWidget(self.take)
        row.addStretch(1)
        return row

    @Slot(str)
    def _on_name(self, text: str) -> None:
        self.take.setEnabled("/" in text.strip(" /"))

    @Slot()
    def _take_name(self) -> None:
        if self.take.isEnabled():
            self.chosen.emit(self.name.text().strip().rstrip("/"))

    def _buttons(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addStretch()
        for text, icon_name, signal in (
            (self.tr("Choose folder"), "folder", self.folder_wanted),
            (self.tr("Choose file"), "file", self.file_wanted),
            (self.tr("Use the sample"), "sample", self.sample_wanted),
        ):
            button = Button(text, icon_name=icon_name)
            button.clicked.connect(signal)
            row.addWidget(button)
        row.addStretch()
        return row

    @override
    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if dropped_path(event):
            set_role(self, "hot", True)
            event.acceptProposedAction()

    @override
    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        set_role(self, "hot", False)

    @override
    def dropEvent(self, event: QDropEvent) -> None:
        set_role(self, "hot", False)
        event.acceptProposedAction()
        self.chosen.emit(str(Path(dropped_path(event))))
