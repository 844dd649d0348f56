"""Where to save: a path, checked while it is typed."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QCheckBox, QFileDialog, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from app.core import words
from app.core.needs import JobNeeds
from app.ui.aside import Aside
from app.ui.icons import Button, Picture
from app.ui.target import Check, Target, check, free_name
from app.ui.widgets.text import ElidedLabel


class TargetField(QWidget):
    """A path with what is known about it underneath."""

    checked = Signal()
    """There is news about `path`, `problem` or `replaces`."""
    edited = Signal(str)
    """The user typed or chose a path."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._target: Target | None = None
        self._check: Check | None = None
        self._needs: JobNeeds | None = None
        self._aside = Aside(self)
        self._aside.answered.connect(self._show)
        self.edit = QLineEdit()
        self.edit.setAccessibleName(self.tr("Save to"))
        self.edit.textEdited.connect(self._on_edited)
        self.choose = Button(self.tr("Choose"), icon_name="folder")
        self.choose.setAccessibleName(self.tr("Choose where to save"))
        self.choose.clicked.connect(self._ask)
        self._mark = Picture("alert", "bad", 16)
        self._text = ElidedLabel(role="secondary")
        self.replace = QCheckBox(self.tr("Replace what is there"))
        self.replace.toggled.connect(self.checked)
        self.keep_both = Button(self.tr("Keep both"), "link")
        self.keep_both.clicked.connect(self._number)

        upper = QHBoxLayout()
        upper.setSpacing(8)
        upper.addWidget(self.edit, 1)
        upper.addWidget(self.choose)
        lower = QHBoxLayout()
        lower.setSpacing(6)
        lower.addWidget(self._mark)
        lower.addWidget(self._text, 1)
        lower.addWidget(self.replace)
        lower.addWidget(self.keep_both)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addLayout(upper)
        layout.addLayout(lower)
        self._decorate()

    def show_needs(self, needs: JobNeeds | None) -> None:
        """What the job takes beside the disk; None while that is not known."""
        self._needs = needs
        self._decorate()

    @property
    def path(self) -> str:
        """The path as it stands in the field."""
        return self.edit.text().strip()

    @property
    def paths(self) -> tuple[str, ...]:
        """Of all results; empty while they are not checked."""
        found = self._check
        return found.paths if found is not None and found.path == self.path else ()

    @property
    def replaces(self) -> bool:
        """Whether an existing file may be replaced."""
        return self.replace.isVisibleTo(self) and self.replace.isChecked()

    @property
    def is_ready(self) -> bool:
        """Whether the path was checked and can be written."""
        found = self._check
        if found is None or found.path != self.path or found.problem is not None:
            return False
        return not found.exists or self.replaces

    @property
    def trouble(self) -> str:
        """Why it is not ready, in one sentence; "" while nobody knows yet."""
        found = self._check
        if found is None or found.path != self.path or self.is_ready:
            return ""
        return found.problem.title if found.problem else self._exists(found)

    def look_at(self, target: Target) -> None:
        """Show and check another target; the same one again is left alone."""
        if target == self._target:
            return
        self._target = target
        self._check = None
        if target.path != self.path:
            self.edit.setText(target.path)
            self.edit.setCursorPosition(0)
            self.replace.setChecked(False)
        self._aside.ask(partial(check, target))
        self.checked.emit()

    @Slot(str)
    def _on_edited(self, text: str) -> None:
        self.replace.setChecked(False)
        if self._target is not None:
            self.look_at(replace(self._target, path=text.strip(), is_suggestion=False))
        self.edited.emit(text.strip())

    @Slot(object)
    def _show(self, found: Check) -> None:
        self._check = found
        if found.path != self.path:
            self.edit.setText(found.path)
            self.edit.setCursorPosition(0)
        self._decorate()
        self.checked.emit()

    def _decorate(self) -> None:
        found = self._check
        problem = found.problem if found else None
        exists = bool(found and found.exists and not problem)
        self._mark.setVisible(bool(problem) or exists)
        self._mark.set_picture("alert", "bad" if problem else "careful")
        self.replace.setVisible(exists)
        self.keep_both.setVisible(exists)
        self._text.setText(self._sentence(found) if found else "")

    def _sentence(self, found: Check) -> str:
        if found.problem:
            return f"{found.problem.title} {found.problem.hint}".strip()
        if found.exists:
            return self._exists(found)
        text = self.tr("Needs {} of {} free").format(
            words.size(found.target.nbytes), words.size(found.free)
        )
        parts = [*self._name_parts(found), text, *self._needs_parts()]
        parts += [self.tr("the folder will be made")] if found.makes_folder else []
        return "  ·  ".join(parts)

    def _exists(self, found: Check) -> str:
        if found.target.is_folder:
            return self.tr("There is already a model in a folder with this name.")
        return self.tr("There is already a file with this name.")

    @staticmethod
    def _name_parts(found: Check) -> list[str]:
        """Where there are several, their names."""
        return [", ".join(Path(path).name for path in found.paths)] if found.target.names else []

    def _needs_parts(self) -> list[str]:
        if self._needs is None:
            return []
        memory = self.tr("{} of memory").format(words.size(self._needs.memory))
        if self._needs.memory > self._needs.memory_free:
            memory += self.tr(", of which {} are free").format(words.size(self._needs.memory_free))
        span = self._needs.seconds
        return [str(span), memory] if span else [memory]

    @Slot()
    def _ask(self) -> None:
        if self._target is not None and (self._target.names or self._target.is_folder):
            self._ask_folder(self._target)
            return
        extension = self._target.extension if self._target else ""
        kinds = f"{extension[1:].upper()} (*{extension})" if extension else ""
        # Replacing is asked for in place, by a tick, and not a second time by the dialog.
        path, _ = QFileDialog.getSaveFileName(
            self,
            self.tr("Save the result"),
            self.path,
            kinds,
            options=QFileDialog.Option.DontConfirmOverwrite,
        )
        if path:
            self.edit.setText(str(Path(path)))
            self._on_edited(self.edit.text())

    def _ask_folder(self, target: Target) -> None:
        """Where several results go, or the folder that a result gets its own folder in."""
        above = self.path if target.names else str(Path(self.path).parent)
        folder = QFileDialog.getExistingDirectory(self, self.tr("Save the results"), above)
        if folder:
            place = Path(folder) if target.names else Path(folder) / Path(self.path).name
            self.edit.setText(str(place))
            self._on_edited(self.edit.text())

    @Slot()
    def _number(self) -> None:
        if self._target is not None:
            path = free_name(self.path, self._target.extension, self._target.taken)
            self.edit.setText(path)
            self._on_edited(self.edit.text())
