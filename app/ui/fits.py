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
from app.ui.runtimes import chosen_runtime

_GIB = 2**30


class Fits(QObject):
    """The answers for every format of one model in the programs that are chosen."""

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
        self._most = 0
        self._machine = machine
        self._preferences = preferences
        self._probe = Probe(command, self)
        self._probe.answered.connect(self._understand)
        self._probe.failed.connect(self._explain)
        machine.imagined.connect(self.ask_again)
        machine.identified.connect(self._on_look)
        preferences.changed.connect(self._on_preference)

    @property
    def is_busy(self) -> bool:
        """Whether answers are still to come."""
        return self._probe.is_busy

    def ask(self, model: str, longest_context: int = 0) -> None:
        """Look at another model, a path or a name on the hub; "" for none.

        Nobody runs a model with more context than it was made for, where that is known.
        """
        if model != self._model:
            self.found, self.problem = {}, None
        self._model, self._most = model, longest_context
        self.ask_again()

    @Slot()
    def ask_again(self) -> None:
        """The same model under other circumstances; old answers stay until new ones come."""
        if not self._model:
            self._probe.cancel()
            return
        self._probe.ask("fit", self._model, *self._circumstances(), "--json")
        self.changed.emit()

    def close(self) -> None:
        """Stop asking, for good."""
        self._model = ""
        self._probe.close()

    def _circumstances(self) -> list[str]:
        """How the model is to be run, as options of the `fit` command."""
        context, reserve = self._preferences.context, self._preferences.reserve
        words = ["--context", str(min(context, self._most or context))]
        words += ["--reserve", f"{reserve / _GIB:.3f}"] if reserve else []
        words += ["--on", self._machine.on] if self._machine.on else []
        words += ["--for", chosen_runtime(self._preferences, self._machine)]
        return words

    @Slot()
    def _on_look(self) -> None:
        """This computer was looked at again: other programs may have been closed meanwhile."""
        if self.found and not self._machine.on:
            self.ask_again()

    @Slot(str)
    def _on_preference(self, key: str) -> None:
        if key in {"context", "reserve", "runtime"}:
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
