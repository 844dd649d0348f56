"""What the user can set, and what this program is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import ClassVar

from PySide6.QtCore import QCoreApplication, Slot, qVersion
from PySide6.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLineEdit,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)
from typing_extensions import override

from app import __version__
from app.core.places import user_data
from app.ui.context import Context
from app.ui.desktop import open_folder
from app.ui.icons import Button, Picture
from app.ui.page import Page, section
from app.ui.widgets.folding import Folding
from app.ui.widgets.text import label
from app.ui.widgets.thread_count import ThreadCount
from app.ui.widgets.token_field import TokenField

_NAMES = 200
#: Packages that are shipped, and their licences.
_LICENCES = (
    ("PySide6-Essentials", "Qt for Python", "LGPL-3.0"),
    ("torch", "PyTorch", "BSD-3-Clause"),
    ("numpy", "NumPy", "BSD-3-Clause"),
    ("numba", "Numba", "BSD-2-Clause"),
    ("transformers", "Transformers", "Apache-2.0"),
    ("tokenizers", "Tokenizers", "Apache-2.0"),
    ("safetensors", "Safetensors", "Apache-2.0"),
    ("psutil", "psutil", "BSD-3-Clause"),
    ("httpx2", "HTTPX", "BSD-3-Clause"),
    ("nvidia-ml-py", "NVIDIA NVML bindings", "BSD-3-Clause"),
)


class SettingsPage(Page):
    """Every change counts at once; there is nothing to confirm."""

    name: ClassVar[str] = "settings"
    position: ClassVar[int] = 90
    icon: ClassVar[str] = "settings"
    at_bottom: ClassVar[bool] = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._saved = context.preferences
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(0, 0, 0, 32)
        column.setSpacing(8)
        for title, form in (
            (self.tr("Appearance"), self._appearance()),
            (self.tr("Converting"), self._converting()),
            ("Hugging Face", self._hub()),
            (self.tr("Data"), self._data()),
            (self.tr("About"), self._about()),
        ):
            column.addWidget(section(title))
            column.addWidget(form)
        column.addStretch()
        self.add_scrolled(content)

    @override
    @classmethod
    def title(cls) -> str:
        return QCoreApplication.translate("SettingsPage", "Settings")

    @override
    def help_text(self) -> str:
        return self.tr(
            "<p>Changes count at once. They apply to jobs that are made from now on.</p>"
        )

    def _appearance(self) -> QWidget:
        form, grid = _form()
        group = QButtonGroup(form)
        row = QHBoxLayout()
        row.setSpacing(16)
        self.schemes: dict[str, QRadioButton] = {}
        for value, text in (
            ("system", self.tr("Like the system")),
            ("light", self.tr("Light")),
            ("dark", self.tr("Dark")),
        ):
            button = QRadioButton(text)
            button.setChecked(self._saved.appearance == value)
            button.toggled.connect(lambda on, value=value: self._set_appearance(value, on))
            group.addButton(button)
            row.addWidget(button)
            self.schemes[value] = button
        row.addStretch()
        _add(grid, self.tr("Colours"), row)
        return form

    def _set_appearance(self, value: str, chosen: bool) -> None:
        if chosen:
            self._saved.appearance = value

    def _converting(self) -> QWidget:
        form, grid = _form()
        self.folder = QLineEdit(self._saved.output_folder)
        self.folder.setAccessibleName(self.tr("Folder for results"))
        self.folder.editingFinished.connect(self._set_folder)
        choose = Button(self.tr("Choose"), icon_name="folder")
        choose.setAccessibleName(self.tr("Choose the folder for results"))
        choose.clicked.connect(self._choose_folder)
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self.folder, 1)
        row.addWidget(choose)
        _add(grid, self.tr("Folder for results"), row)
        self.threads = ThreadCount()
        self.threads.set_most(self.context.machine.threads)
        self.threads.setValue(self._saved.threads)
        self.threads.valueChanged.connect(self._set_threads)
        row = QHBoxLayout()
        row.setSpacing(12)
        row.addWidget(self.threads)
        row.addWidget(label(self.tr("Fewer leave room for other programs"), "secondary"))
        row.addStretch()
        _add(grid, self.tr("Processor threads"), row)
        self.evaluate = QCheckBox(self.tr("Measure what is lost"))
        self.evaluate.setChecked(self._saved.evaluate)
        self.evaluate.toggled.connect(self._set_evaluate)
        row = QHBoxLayout()
        row.addWidget(self.evaluate)
        row.addStretch()
        _add(grid, self.tr("After converting"), row)
        hint = label(
            self.tr(
                "Reads a text with both models. Takes longer, and tells what a result is worth."
            ),
            "secondary",
            wrap=True,
        )
        grid.addWidget(hint, grid.rowCount(), 1)
        return form

    def _hub(self) -> QWidget:
        form, grid = _form()
        self.token = TokenField()
        row = QHBoxLayout()
        row.addWidget(self.token)
        _add(grid, self.tr("Access token"), row)
        return form

    def _data(self) -> QWidget:
        form, grid = _form()
        row = QHBoxLayout()
        row.setSpacing(12)
        button = Button(self.tr("Open folder"), icon_name="folder")
        button.setAccessibleName(self.tr("Open the folder of jobs and reports"))
        button.clicked.connect(lambda: open_folder(user_data()))
        row.addWidget(label(str(user_data()), "quiet", wrap=True), 1)
        row.addWidget(button)
        _add(grid, self.tr("Jobs and reports"), row)
        return form

    def _about(self) -> QWidget:
        about = QWidget()
        column = QVBoxLayout(about)
        column.setContentsMargins(0, 4, 0, 0)
        column.setSpacing(8)
        row = QHBoxLayout()
        row.setSpacing(16)
        text = QVBoxLayout()
        text.setSpacing(2)
        text.addWidget(label(self.tr("Nibble {}").format(__version__), "strong"))
        text.addWidget(label(self.tr("Makes a language model fit your own computer."), "quiet"))
        text.addWidget(
            label(
                self.tr(
                    "Apache-2.0. No account, no tracking; only finding and downloading models "
                    "uses the network."
                ),
                "secondary",
            )
        )
        row.addWidget(Picture("app", side=48))
        row.addLayout(text, 1)
        column.addLayout(row)
        column.addWidget(Folding(self.tr("Made with"), self._licences()))
        return about

    def _licences(self) -> QWidget:
        table = QWidget()
        grid = QGridLayout(table)
        grid.setContentsMargins(4, 0, 0, 0)
        grid.setHorizontalSpacing(32)
        grid.setVerticalSpacing(4)
        grid.setColumnStretch(3, 1)
        for row, (package, name, licence) in enumerate(_LICENCES):
            for column, text in enumerate((name, _version(package), licence)):
                grid.addWidget(label(text, "" if column == 0 else "quiet"), row, column)
        return table

    @Slot()
    def _set_folder(self) -> None:
        text = self.folder.text().strip()
        if text and Path(text).is_absolute():
            self._saved.output_folder = text
        else:
            self.folder.setText(self._saved.output_folder)

    @Slot()
    def _choose_folder(self) -> None:
        title = self.tr("Choose the folder for results")
        path = QFileDialog.getExistingDirectory(self, title, self._saved.output_folder)
        if path:
            self.folder.setText(str(Path(path)))
            self._set_folder()

    @Slot(int)
    def _set_threads(self, count: int) -> None:
        self._saved.threads = count

    @Slot(bool)
    def _set_evaluate(self, wanted: bool) -> None:
        self._saved.evaluate = wanted


def _form() -> tuple[QWidget, QGridLayout]:
    form = QWidget()
    grid = QGridLayout(form)
    grid.setContentsMargins(0, 4, 0, 8)
    grid.setHorizontalSpacing(16)
    grid.setVerticalSpacing(10)
    grid.setColumnMinimumWidth(0, _NAMES)
    grid.setColumnStretch(1, 1)
    return form, grid


def _add(grid: QGridLayout, name: str, row: QHBoxLayout) -> None:
    place = grid.rowCount()
    grid.addWidget(label(name), place, 0)
    grid.addLayout(row, place, 1)


def _version(package: str) -> str:
    if package.startswith("PySide6"):
        return qVersion()
    try:
        return version(package)
    except PackageNotFoundError:  # the frozen application may leave the metadata out
        return ""
