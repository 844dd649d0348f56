"""The list of pages at the left edge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QButtonGroup, QFrame, QHBoxLayout, QLabel, QVBoxLayout, QWidget
from typing_extensions import override

from app.ui.icons import Button, Picture, icon
from app.ui.theme import tokens
from app.ui.widgets.text import label

_WIDE, _SLIM = 200, 64


@dataclass(frozen=True, slots=True)
class Entry:
    """One page in the navigation."""

    name: str
    title: str
    icon: str
    at_bottom: bool


class NavigationButton(Button):
    """An entry with a badge; the chosen one has the accent colour."""

    def __init__(self, entry: Entry, number: int) -> None:
        super().__init__(entry.title, "nav", entry.icon)
        self.entry = entry
        self.setCheckable(True)
        self.setIconSize(QSize(20, 20))
        self.setToolTip(f"{entry.title} (Ctrl+{number})")
        self.setAccessibleName(entry.title)
        self.badge = QLabel(self, alignment=Qt.AlignmentFlag.AlignCenter)
        self.badge.setProperty("role", "badge")
        self.badge.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.badge.hide()
        self.toggled.connect(self._draw)

    def set_badge(self, count: int) -> None:
        """Show a number, or none for 0."""
        self.badge.setText(str(count))
        self.badge.setVisible(count > 0)
        self.setAccessibleName(f"{self.entry.title}, {count}" if count else self.entry.title)
        self._place()

    def set_slim(self, slim: bool) -> None:
        """Show the icon only."""
        self.setText("" if slim else f"  {self.entry.title}")
        self._place()

    def _place(self) -> None:
        self.badge.adjustSize()
        self.badge.setFixedHeight(18)
        x = self.width() - self.badge.width() - (2 if self.width() < _SLIM else 10)
        y = 0 if self.width() < _SLIM else (self.height() - 18) // 2
        self.badge.move(x, y)

    @override
    def _draw(self) -> None:
        tone = tokens().accent if self.isChecked() else tokens().secondary
        self.setIcon(icon(self._name, tone, 20))

    @override
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._place()


class Navigation(QFrame):
    """Names the pages, or shows their icons only where the window is narrow."""

    wanted = Signal(str)

    def __init__(self, entries: Sequence[Entry], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("navigation")
        self.setAccessibleName(self.tr("Pages"))
        self._group = QButtonGroup(self)
        self._buttons: dict[str, NavigationButton] = {}
        self._word = label("Nibble", "section")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 20, 12, 12)
        layout.setSpacing(4)
        brand = QHBoxLayout()
        brand.setContentsMargins(8, 0, 0, 16)
        brand.setSpacing(10)
        brand.addWidget(Picture("app", side=24))
        brand.addWidget(self._word, 1)
        layout.addLayout(brand)
        stretched = False
        for number, entry in enumerate(entries, 1):
            if entry.at_bottom and not stretched:
                layout.addStretch()
                stretched = True
            button = NavigationButton(entry, number)
            button.clicked.connect(lambda _checked=False, name=entry.name: self.wanted.emit(name))
            self._group.addButton(button)
            self._buttons[entry.name] = button
            layout.addWidget(button)
        if not stretched:
            layout.addStretch()
        self.set_slim(False)

    def set_slim(self, slim: bool) -> None:
        """Show icons only."""
        self.setFixedWidth(_SLIM if slim else _WIDE)
        self._word.setVisible(not slim)
        for button in self._buttons.values():
            button.set_slim(slim)

    def choose(self, name: str) -> None:
        """Mark the page that is shown."""
        self._buttons[name].setChecked(True)

    def set_badge(self, name: str, count: int) -> None:
        """Show a number beside a page."""
        if name in self._buttons:
            self._buttons[name].set_badge(count)
