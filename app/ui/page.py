"""What every screen is."""

from __future__ import annotations

from typing import ClassVar

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QScrollArea, QVBoxLayout, QWidget

from app.ui.context import Context
from app.ui.icons import IconButton
from app.ui.widgets.popover import Popover
from app.ui.widgets.text import label

MARGIN = 32
SCROLL_BAR = 12
"""As wide as the stylesheet makes it."""
WIDTH = 960
"""Content is never wider than this, in px."""


class Page(QWidget):
    """One entry of the navigation: a title, then what the subclass puts under it."""

    name: ClassVar[str]
    """Identifier; nothing else is called so."""
    position: ClassVar[int]
    """Pages stand in this order."""
    icon: ClassVar[str]
    is_wide: ClassVar[bool] = False
    """Whether the page uses the whole width of the window."""
    at_bottom: ClassVar[bool] = False
    """Whether its entry stands at the lower end of the navigation."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self.setProperty("role", "page")
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(0)
        head = QWidget()
        self.header = QHBoxLayout(head)
        self.header.setContentsMargins(0, 24, 0, 16)
        self.header.setSpacing(8)
        self.header.addWidget(label(self.title(), "title"))
        self.header.addStretch()
        self._help = IconButton("help", self.tr("Help for this page (F1)"))
        self._help.clicked.connect(self.show_help)
        self.header.addWidget(self._help)
        self._layout.addWidget(self.column(head))

    @classmethod
    def title(cls) -> str:
        """Its heading, and its name in the navigation."""
        raise NotImplementedError

    def help_text(self) -> str:
        """What this page is for, in a few sentences; simple HTML."""
        return ""

    def show_subject(self, subject: object) -> None:
        """Show what another page, or the command line, points at."""

    def primary(self) -> None:
        """Do what the main button of the page does."""

    def open_dialog(self) -> None:
        """Ask for a model, where the page works on one."""

    def leave(self) -> None:
        """The window closes: stop what runs for this page."""

    def escape(self) -> bool:
        """Close what is open on the page; False when nothing is."""
        return False

    def show_help(self) -> None:
        """Explain the page beside its help button."""
        Popover(self.help_text(), self).open_below(self._help)

    def column(self, content: QWidget, right: int = MARGIN) -> QWidget:
        """`content` centred in the width that reads well."""
        if not self.is_wide:
            content.setMaximumWidth(WIDTH)
        holder = QWidget()
        row = QHBoxLayout(holder)
        row.setContentsMargins(MARGIN, 0, right, 0)
        row.addStretch(1)
        row.addWidget(content, 1000)
        row.addStretch(1)
        return holder

    def add_scrolled(self, content: QWidget) -> QScrollArea:
        """Put `content` under the heading; it scrolls rather than squeezes."""
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)  # nothing jumps
        area.setWidget(self.column(content, MARGIN - SCROLL_BAR))
        self._layout.addWidget(area, 1)
        return area

    def add_filling(self, content: QWidget) -> QWidget:
        """Put `content` under the heading; it takes the room there is."""
        holder = self.column(content)
        self._layout.addWidget(holder, 1)
        return holder

    def add_footer(self, content: QWidget) -> None:
        """Put `content` at the lower end, always visible."""
        footer = QFrame()
        footer.setObjectName("footer")
        row = QVBoxLayout(footer)
        row.setContentsMargins(0, 12, 0, 12)
        row.addWidget(self.column(content))
        self._layout.addWidget(footer)


def section(text: str) -> QLabel:
    """The heading of a part of a page."""
    result = label(text, "section")
    result.setContentsMargins(0, 16, 0, 0)
    return result
