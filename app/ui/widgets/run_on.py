"""Which computer a model is to run on: this one, or one that is only imagined."""

from __future__ import annotations

from PySide6.QtCore import QStringListModel, Qt, QTimer, Slot
from PySide6.QtWidgets import (
    QComboBox,
    QCompleter,
    QFrame,
    QHBoxLayout,
    QVBoxLayout,
    QWidget,
)

from app.core import words
from app.core.errors import AppError
from app.devices.catalogue import CARDS
from app.ui.icons import Button, Picture
from app.ui.machine import Machine
from app.ui.widgets.text import label

#: What is offered without typing; anything that the `--on` option understands can be typed.
_COMMON = (
    "RTX 3060 12 GB", "RTX 4060 8 GB", "RTX 4060 Ti 16 GB", "RTX 4070", "RTX 4090",
    "RTX 5070", "RTX 5080", "RTX 5090", "2x RTX 3090", "RX 7800 XT", "RX 7900 XTX",
    "M3 Max 64 GB", "Mac 16 GB", "Mac 32 GB", "8 GB", "16 GB", "32 GB", "64 GB",
)  # fmt: skip


def short_name(card: str) -> str:
    """What people call a graphics card: "RTX 4070"."""
    for start in ("NVIDIA ", "GeForce ", "AMD ", "Radeon ", "Intel ", "Apple "):
        rest = card.removeprefix(start)
        card = rest if any(letter.isdigit() for letter in rest) else card
    return card


class RunOn(QWidget):
    """A list to choose from or to type into; what is not understood is explained below it."""

    def __init__(self, machine: Machine, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._machine = machine
        self.combo = QComboBox(editable=True)
        self.combo.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.combo.setMaxVisibleItems(20)
        self.combo.setMinimumWidth(220)
        self.combo.setAccessibleName(self.tr("Run it on"))
        self.combo.setToolTip(
            self.tr('Choose or type: "RTX 4090", "2x RTX 3090", "M3 Max 64 GB", "16 GB"')
        )
        names = sorted({f"{card.name} {card.gigabytes} GB" for card in CARDS})
        completer = QCompleter(self)
        completer.setModel(QStringListModel(names, completer))
        completer.setFilterMode(Qt.MatchFlag.MatchContains)
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self.combo.setCompleter(completer)
        self.trouble = label("", "secondary", wrap=True)
        self.trouble.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.combo)
        layout.addWidget(self.trouble)
        self.combo.activated.connect(self._on_chosen)
        edit = self.combo.lineEdit()
        assert edit is not None  # it is editable
        edit.returnPressed.connect(self._on_typed)
        completer.activated.connect(machine.imagine)
        machine.identified.connect(self._show)
        machine.imagined.connect(self._show)
        machine.imagining_failed.connect(self._explain)
        self._show()

    @Slot()
    def _show(self) -> None:
        self.trouble.hide()
        self.combo.blockSignals(True)
        self.combo.clear()
        self.combo.addItem(self._this_computer(), "")
        for name in _COMMON:
            self.combo.addItem(self._title(name), name)
        on = self._machine.on
        if on and self.combo.findData(on) < 0:
            self.combo.insertItem(1, on, on)
        self.combo.setCurrentIndex(max(0, self.combo.findData(on)))
        QTimer.singleShot(0, self, self._show_start)  # choosing puts the cursor at the end
        self.combo.blockSignals(False)

    @Slot()
    def _show_start(self) -> None:
        edit = self.combo.lineEdit()
        if edit is not None and not edit.hasFocus():
            edit.setCursorPosition(0)

    def _title(self, name: str) -> str:
        plain = name[0].isdigit() and name.endswith("GB")
        return self.tr("{} of memory, no graphics card").format(name) if plain else name

    def _this_computer(self) -> str:
        cards = self._machine.cards
        if not cards:
            return self.tr("This computer")
        if len(cards) > 1 and len({card.name for card in cards}) == 1:
            return self.tr("This computer: {} × {}").format(len(cards), short_name(cards[0].name))  # noqa: RUF001
        best = max(cards, key=lambda card: (not card.shared, card.total))
        memory = words.memory(best.total)
        return self.tr("This computer: {}, {}").format(short_name(best.name), memory)

    @Slot(int)
    def _on_chosen(self, index: int) -> None:
        self._machine.imagine(self.combo.itemData(index) or "")

    @Slot()
    def _on_typed(self) -> None:
        text = self.combo.currentText().strip()
        place = self.combo.findText(text)
        self._machine.imagine(self.combo.itemData(place) if place >= 0 else text)

    @Slot(object)
    def _explain(self, error: AppError) -> None:
        self.trouble.setText(f"{error.title} {error.hint}".strip())
        self.trouble.show()


class ImaginedBar(QFrame):
    """Says on every page that its answers are for another computer, and leads back."""

    def __init__(self, machine: Machine, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._machine = machine
        self.setProperty("role", "imagined")
        self.text = label("", "strong")
        self.back = Button(self.tr("Back to this computer"), "link")
        self.back.clicked.connect(lambda: machine.imagine(""))
        row = QHBoxLayout(self)
        row.setContentsMargins(14, 6, 8, 6)
        row.setSpacing(10)
        row.addWidget(Picture("imagined", "accent", 18))
        row.addWidget(self.text)
        row.addStretch()
        row.addWidget(self.back)
        machine.imagined.connect(self._show)
        self._show()

    @Slot()
    def _show(self) -> None:
        hardware = self._machine.hardware
        name = (hardware.simulated if hardware else "") or self._machine.on
        self.text.setText(self.tr("Imagined: {}").format(name))
        self.setAccessibleName(self.text.text())
        self.setVisible(bool(self._machine.on))
