"""This computer, or the one that the user imagines: memory now, and what else there is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import psutil
from PySide6.QtCore import QObject, QTimer, Signal, Slot

from app.core.errors import AppError
from app.core.machine import Gpu
from app.core.machine import Machine as Hardware
from app.ui.aside import Aside
from app.ui.probe import Probe

_REFRESH_MS = 3_000


@dataclass(frozen=True, slots=True)
class Memory:
    """The computer's memory in bytes."""

    total: int
    available: int


class Machine(QObject):
    """Memory is read here, often; the rest is asked of the `hardware` command."""

    identified = Signal()
    """Processor and graphics cards are known, or `problem` says why they are not."""
    refreshed = Signal()
    """There is a new reading of the memory."""
    imagined = Signal()
    """Another computer counts from now on: see `on`."""
    imagining_failed = Signal(object)
    """AppError"""

    def __init__(self, command: list[str], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.real: Hardware | None = None
        self.problem: AppError | None = None
        self.on = ""
        """Name of the imagined computer, as commands take it; "" for this one."""
        self.memory = _memory()
        self._imagined: Hardware | None = None
        self._wanted = ""
        self._probe = Probe(command, self)
        self._probe.answered.connect(self._understand)
        self._probe.failed.connect(self._give_up)
        self._imagination = Probe(command, self)
        self._imagination.answered.connect(self._understand_imagined)
        self._imagination.failed.connect(self.imagining_failed)
        self._aside = Aside(self)
        self._aside.answered.connect(self._take_sample)
        self._timer = QTimer(self, interval=_REFRESH_MS)
        self._timer.timeout.connect(self._refresh)

    @Slot()
    def watch(self) -> None:
        """Start looking, or look again."""
        self._timer.start()
        self._probe.ask("hardware", "--json")

    def close(self) -> None:
        """Stop looking."""
        self._timer.stop()
        self._probe.close()
        self._imagination.close()

    @Slot(str)
    def imagine(self, name: str) -> None:
        """Let another computer count; "" for this one again."""
        if name and name == self._wanted and self._imagination.is_busy:
            return
        self._wanted = name
        if name:
            self._imagination.ask("hardware", "--on", name, "--json")
            return
        self._imagination.cancel()
        if self.on:
            self.on, self._imagined = "", None
            self.imagined.emit()

    @property
    def hardware(self) -> Hardware | None:
        """The computer that counts; None while nobody knows it."""
        return self._imagined or self.real

    @property
    def processor(self) -> str:
        """Name of this computer's processor."""
        return self.real.cpu.name if self.real else ""

    @property
    def cards(self) -> tuple[Gpu, ...]:
        """This computer's graphics cards."""
        return self.real.gpus if self.real else ()

    @property
    def threads(self) -> int:
        """Threads that the processor runs at once."""
        return psutil.cpu_count() or 1

    @Slot()
    def _refresh(self) -> None:
        self.memory = _memory()
        if self.real is not None:
            self._aside.ask(partial(_sample, self.real))
        self.refreshed.emit()

    @Slot(object)
    def _take_sample(self, now: Hardware) -> None:
        self.real = now
        self.refreshed.emit()

    @Slot(object)
    def _understand(self, answer: dict[str, Any]) -> None:
        try:
            self.real = Hardware.from_json(answer)
        except ValueError as error:
            self._give_up(
                AppError(self.tr("This computer could not be looked at."), details=str(error))
            )
            return
        self.problem = None
        self.identified.emit()

    @Slot(object)
    def _give_up(self, error: AppError) -> None:
        self.problem = error
        self.identified.emit()

    @Slot(object)
    def _understand_imagined(self, answer: dict[str, Any]) -> None:
        try:
            self._imagined = Hardware.from_json(answer)
        except ValueError as error:
            title = self.tr("That computer is not known.")
            self.imagining_failed.emit(AppError(title, details=str(error)))
            return
        self.on = self._wanted
        self.imagined.emit()


def _sample(hardware: Hardware) -> Hardware:
    """What is free now; runs beside the window."""
    from app.devices import sample

    return sample(hardware)


def _memory() -> Memory:
    now = psutil.virtual_memory()
    return Memory(now.total, now.available)
