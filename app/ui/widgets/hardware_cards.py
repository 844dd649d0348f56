"""Processor, memory, graphics and disks, a card each."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QProgressBar, QVBoxLayout, QWidget
from typing_extensions import override

from app.core import words
from app.core.machine import Gpu, Machine, Space
from app.ui.icons import Picture
from app.ui.widgets.text import ElidedLabel, label

_TWO_COLUMNS = 620  # px
_STEPS = 1000


def _tr(text: str) -> str:
    return QCoreApplication.translate("HardwareCards", text)


@dataclass(frozen=True, slots=True)
class Part:
    """One thing the computer has, in words."""

    icon: str
    kind: str
    name: str
    lines: tuple[str, ...] = ()
    used: float | None = None
    """Share of its memory that is taken; None where it has none."""


def parts(machine: Machine) -> list[Part]:
    """Everything worth a card."""
    found = [_processor(machine), _memory(machine.memory)]
    found += [_graphics(gpu, machine) for gpu in machine.gpus] or [_no_graphics()]
    return [*found, *([_disks(machine.disks)] if machine.disks else [])]


def _processor(machine: Machine) -> Part:
    cpu = machine.cpu
    cores = _tr("{} cores, {} threads").format(cpu.cores, cpu.threads)
    if not cpu.cores:
        cores = _tr("{} threads").format(cpu.threads)
    features = ", ".join(cpu.features)
    return Part("gpu", _tr("Processor"), cpu.name, (cores, features) if features else (cores,))


def _memory(space: Space) -> Part:
    return Part("memory", _tr("Memory"), words.memory(space.total), (_free(space),), _used(space))


def _graphics(gpu: Gpu, machine: Machine) -> Part:
    space = Space(gpu.name, gpu.total, gpu.free)
    lines = [_free(space)]
    if gpu.shared:
        whole = words.memory(machine.memory.total)
        lines = [_tr("Shares the computer's memory: up to {} of {}").format(
            words.memory(gpu.total), whole
        ), _free(space)]  # fmt: skip
    more = []
    if gpu.bandwidth:
        more.append(_tr("reads {}/s").format(words.size(gpu.bandwidth)))
    if gpu.driver:
        more.append(_tr("driver {}").format(gpu.driver))
    if not gpu.device and not machine.simulated:
        more.append(_tr("not used to convert"))
    if more:
        lines.append("  ·  ".join(more))
    return Part("graphics", _tr("Graphics"), gpu.name, tuple(lines), _used(space))


def _no_graphics() -> Part:
    text = _tr("Models run on the processor and in its memory: that works, and is slower.")
    return Part("graphics", _tr("Graphics"), _tr("No graphics card found"), (text,))


def _disks(disks: tuple[Space, ...]) -> Part:
    """All in one card; the first one is where results go."""
    first = disks[0]
    lines = [
        _tr("{}: {} of {} free").format(disk.name, words.size(disk.free), words.size(disk.total))
        for disk in disks
    ]
    kind = _tr("Disk") if len(disks) == 1 else _tr("Disks")
    name = _tr("{} free").format(words.size(first.free))
    return Part("disk", kind, name, tuple(lines), _used(first))


def _free(space: Space) -> str:
    return _tr("{} of {} free").format(words.memory(space.free), words.memory(space.total))


def _used(space: Space) -> float:
    return 1 - space.free / space.total if space.total else 0.0


class HardwareCard(QFrame):
    """Kind, name and facts of one part, and a thin bar for what is taken."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "card")
        self._picture = Picture("gpu", "secondary", 22)
        self._kind = label("", "secondary")
        self.name = ElidedLabel(role="strong")
        self.text = label("", "quiet", wrap=True)
        self._bar = QProgressBar(maximum=_STEPS, textVisible=False)
        text = QVBoxLayout()
        text.setSpacing(3)
        for widget in (self._kind, self.name, self.text):
            text.addWidget(widget)
        text.addStretch()
        text.addSpacing(4)
        text.addWidget(self._bar)
        row = QHBoxLayout(self)
        row.setContentsMargins(16, 14, 18, 14)
        row.setSpacing(14)
        row.addWidget(self._picture, 0, Qt.AlignmentFlag.AlignTop)
        row.addLayout(text, 1)

    def show_part(self, part: Part) -> None:
        """Describe `part`."""
        self._picture.set_picture(part.icon, "secondary")
        self._kind.setText(part.kind)
        self.name.setText(part.name)
        self.text.setText("\n".join(part.lines))
        self._bar.setVisible(part.used is not None)
        self._bar.setValue(round(_STEPS * (part.used or 0)))
        self._bar.setAccessibleName(_tr("Taken of {}").format(part.name))
        self.setAccessibleName(f"{part.kind}: {part.name}. {', '.join(part.lines)}")


class HardwareCards(QWidget):
    """The cards side by side, or below each other where the window is narrow."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.cards: list[HardwareCard] = []
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(12)
        self._columns = 2

    def show_machine(self, machine: Machine) -> None:
        """Describe the computer; cards are reused, so that nothing flickers."""
        found = parts(machine)
        while len(self.cards) < len(found):
            self.cards.append(HardwareCard())
            self._place(len(self.cards) - 1)
        for card in self.cards[len(found) :]:
            card.hide()
        for card, part in zip(self.cards, found, strict=False):
            card.show_part(part)
            card.show()

    def _place(self, index: int) -> None:
        self._grid.addWidget(self.cards[index], index // self._columns, index % self._columns)

    @override
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        columns = 2 if self.width() >= _TWO_COLUMNS else 1
        if columns != self._columns:
            self._columns = columns
            for index in range(len(self.cards)):
                self._place(index)
        for column in range(2):
            self._grid.setColumnStretch(column, 1 if column < columns else 0)
