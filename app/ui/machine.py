"""This computer: its memory now, and its processor, graphics cards and disks."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import psutil
from PySide6.QtCore import QObject, QTimer, Signal, Slot

from app.ui.probe import Probe

_REFRESH_MS = 3_000


@dataclass(frozen=True, slots=True)
class Card:
    """A graphics card."""

    device: str
    """As a job names it: "cuda:0"."""
    name: str
    total: int
    """Bytes of its memory."""
    free: int


@dataclass(frozen=True, slots=True)
class Memory:
    """The computer's memory in bytes."""

    total: int
    available: int


class Machine(QObject):
    """Memory is read here, often; the rest is asked of the `hardware` command, once."""

    identified = Signal()
    """Processor and graphics cards are known."""
    refreshed = Signal()
    """There is a new reading of the memory."""

    def __init__(self, command: list[str], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.processor = ""
        self.cards: tuple[Card, ...] = ()
        self.memory = _memory()
        self._probe = Probe(command, self)
        self._probe.answered.connect(self._understand)
        self._timer = QTimer(self, interval=_REFRESH_MS)
        self._timer.timeout.connect(self._refresh)

    def watch(self) -> None:
        """Start looking."""
        self._timer.start()
        self._probe.ask("hardware", "--json")

    def close(self) -> None:
        """Stop looking."""
        self._timer.stop()
        self._probe.close()

    @property
    def threads(self) -> int:
        """Threads that the processor runs at once."""
        return psutil.cpu_count() or 1

    @Slot()
    def _refresh(self) -> None:
        self.memory = _memory()
        self.refreshed.emit()

    @Slot(object)
    def _understand(self, answer: dict[str, Any]) -> None:
        try:
            self.processor = str(answer["cpu"]["name"])
            self.cards = tuple(_card(row, place) for place, row in enumerate(answer["gpus"]))
        except (KeyError, TypeError, ValueError):
            return  # an unknown machine is shown without its parts
        self.identified.emit()


def _card(row: dict[str, Any], place: int) -> Card:
    usual = "mps" if sys.platform == "darwin" else f"cuda:{place}"
    device = str(row.get("device", usual))
    return Card(device, str(row["name"]), int(row["total"]), int(row["free"]))


def _memory() -> Memory:
    now = psutil.virtual_memory()
    return Memory(now.total, now.available)
