"""Whether one model runs on the computer that counts: asked aside, again whenever that changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PySide6.QtCore import QObject, Signal, Slot

from app.core.errors import AppError
from app.core.fit import Fit
from app.ui.machine import Machine
from app.ui.preferences import Preferences
from app.ui.probe import Probe

_GIB = 2**30


class Fits(QObject):
    """The answers for every format of one model."""

    changed = Signal()
    """There is news about `found`, `problem` or `is_busy`."""

    def __init__(
        self,
        command: list[str],
        machine: Machine,
        preferences: Preferences,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.found: Mapping[str, Fit] = {}
        """By preset."""
        self.problem: AppError | None = None
        self._model = ""
        self._machine = machine
        self._preferences = preferences
        self._probe = Probe(command, self)
        self._probe.answered.connect(self._understand)
        self._probe.failed.connect(self._explain)
        machine.imagined.connect(self.ask_again)
        preferences.changed.connect(self._on_preference)

    @property
    def is_busy(self) -> bool:
        """Whether answers are still to come."""
        return self._probe.is_busy

    def ask(self, model: str) -> None:
        """Look at another model, a path or a name on the hub; "" for none."""
        if model != self._model:
            self.found, self.problem = {}, None
        self._model = model
        self.ask_again()

    @Slot()
    def ask_again(self) -> None:
        """The same model under other circumstances; old answers stay until new ones come."""
        if not self._model:
            self._probe.cancel()
            return
        self._probe.ask(
            "fit", self._model, *circumstances(self._machine, self._preferences), "--json"
        )
        self.changed.emit()

    def close(self) -> None:
        """Stop asking, for good."""
        self._model = ""
        self._probe.close()

    @Slot(str)
    def _on_preference(self, key: str) -> None:
        if key in {"context", "reserve"}:
            self.ask_again()

    @Slot(object)
    def _understand(self, answer: dict[str, Any]) -> None:
        try:
            self.found = {
                preset: Fit.from_json(fields) for preset, fields in answer["fits"].items()
            }
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            title = self.tr("Whether this model runs here could not be worked out.")
            self._explain(AppError(title, details=repr(error)))
            return
        self.problem = None
        self.changed.emit()

    @Slot(object)
    def _explain(self, error: AppError) -> None:
        self.found, self.problem = {}, error
        self.changed.emit()


def circumstances(machine: Machine, preferences: Preferences) -> list[str]:
    """How models are to be run, as options of the `fit` command."""
    words = ["--context", str(preferences.context)]
    if preferences.reserve:
        words += ["--reserve", f"{preferences.reserve / _GIB:.3f}"]
    return [*words, "--on", machine.on] if machine.on else words
