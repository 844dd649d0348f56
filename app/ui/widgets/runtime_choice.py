"""Which programs a result is for."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication, Signal, Slot
from PySide6.QtWidgets import QComboBox, QWidget

from app.core.runtime import Runtime
from app.ui.machine import Machine
from app.ui.preferences import Preferences
from app.ui.runtimes import chosen_runtime


def _tr(text: str) -> str:
    return QCoreApplication.translate("RuntimeChoice", text)


class RuntimeChoice(QComboBox):
    """Follows the preference and changes it; until there is one, it follows the computer."""

    changed = Signal()
    """There is news about `runtime`."""

    def __init__(
        self, preferences: Preferences, machine: Machine, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._preferences = preferences
        self._machine = machine
        self.runtime = chosen_runtime(preferences, machine)
        """What counts."""
        self.setAccessibleName(_tr("For"))
        for runtime in Runtime:
            self.addItem(_tr(runtime.label), str(runtime))
        self._show()
        self.activated.connect(self._save)
        preferences.changed.connect(self._on_preference)
        machine.identified.connect(self._follow)
        machine.imagined.connect(self._follow)

    @property
    def explanation(self) -> str:
        """What these programs take, and where they run, in a few words."""
        return {
            Runtime.LLAMA_CPP: _tr("One file, on any computer"),
            Runtime.VLLM: _tr("A folder, for Linux and for WSL on Windows"),
            Runtime.TRANSFORMERS: _tr("A folder, for Python programs on any computer"),
            Runtime.MLX: _tr("A folder, for Macs with Apple silicon"),
        }[self.runtime]

    @Slot(int)
    def _save(self, index: int) -> None:
        self._preferences.runtime = self.itemData(index)

    @Slot(str)
    def _on_preference(self, key: str) -> None:
        if key == "runtime":
            self._follow()

    @Slot()
    def _follow(self) -> None:
        now = chosen_runtime(self._preferences, self._machine)
        if now is not self.runtime:
            self.runtime = now
            self._show()
            self.changed.emit()

    def _show(self) -> None:
        self.setCurrentIndex(self.findData(str(self.runtime)))
        self.setToolTip(self.explanation)
