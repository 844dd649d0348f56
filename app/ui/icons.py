"""Line icons in the colours of the theme."""

from __future__ import annotations

from functools import lru_cache

from PySide6.QtCore import QByteArray, QEvent, QRectF, QSize, Qt
from PySide6.QtGui import QIcon, QPainter, QPixmap
from PySide6.QtSvg import QSvgRenderer
from PySide6.QtWidgets import QLabel, QPushButton, QWidget
from typing_extensions import override

from app.core.places import resources
from app.ui.theme import tokens

_SCALES = (1, 2, 3)
_SIDE, _GAP = 18, 4


@lru_cache(maxsize=256)
def icon(name: str, colour: str, side: int = 18, gap: int = 0) -> QIcon:
    """The icon `name` drawn in `colour` (#RRGGBB), sharp on screens of every density.

    `gap` adds empty pixels at the right, between an icon and the text of its button.
    """
    result = QIcon()
    for scale in _SCALES:
        picture = pixmap(name, colour, side * scale, gap * scale)
        picture.setDevicePixelRatio(scale)
        result.addPixmap(picture)
        result.addPixmap(picture, QIcon.Mode.Disabled)
    return result


def pixmap(name: str, colour: str, side: int, gap: int = 0) -> QPixmap:
    """The icon `name` in `colour`, `side` device pixels wide and `gap` more that are empty."""
    drawing = (resources() / "icons" / f"{name}.svg").read_text(encoding="utf-8")
    renderer = QSvgRenderer(QByteArray(drawing.replace("currentColor", colour).encode()))
    result = QPixmap(side + gap, side)
    result.fill(Qt.GlobalColor.transparent)
    painter = QPainter(result)
    renderer.render(painter, QRectF(0, 0, side, side))
    painter.end()
    return result


def app_icon() -> QIcon:
    """The icon of the application."""
    result = QIcon()
    for side in (16, 24, 32, 48, 64, 128, 256):
        result.addPixmap(pixmap("app", "", side))
    return result


class Picture(QLabel):
    """An icon as a label; `tone` names the token that colours it."""

    def __init__(
        self, name: str, tone: str = "secondary", side: int = 20, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._name, self._tone, self._side = name, tone, side
        self.setFixedSize(side, side)
        self._draw()

    def set_picture(self, name: str, tone: str) -> None:
        """Show another icon."""
        if (name, tone) != (self._name, self._tone):
            self._name, self._tone = name, tone
            self._draw()

    def _draw(self) -> None:
        if self._name == "app":
            self.setPixmap(app_icon().pixmap(QSize(self._side, self._side)))
            return
        colour: str = getattr(tokens(), self._tone)
        self.setPixmap(icon(self._name, colour, self._side).pixmap(QSize(self._side, self._side)))

    @override
    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange:
            self._draw()


class Button(QPushButton):
    """A push button with a role from the stylesheet and, if named, an icon before its text."""

    def __init__(
        self, text: str, role: str = "", icon_name: str = "", parent: QWidget | None = None
    ) -> None:
        super().__init__(text, parent)
        self._name = icon_name
        self._tone = {"primary": "on_accent", "link": "accent"}.get(role, "secondary")
        if role:
            self.setProperty("role", role)
        self.setIconSize(QSize(_SIDE + _GAP, _SIDE))
        self._draw()

    def set_icon(self, name: str) -> None:
        """Show another icon."""
        self._name = name
        self._draw()

    def _draw(self) -> None:
        if self._name:
            self.setIcon(icon(self._name, getattr(tokens(), self._tone), _SIDE, _GAP))

    @override
    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange:
            self._draw()


class IconButton(Button):
    """A button that is only an icon; `label` is its tip and its accessible name."""

    def __init__(self, name: str, label: str, parent: QWidget | None = None) -> None:
        super().__init__("", "icon", name, parent)
        self.setIconSize(QSize(_SIDE, _SIDE))
        self.setToolTip(label)
        self.setAccessibleName(label)

    @override
    def _draw(self) -> None:
        self.setIcon(icon(self._name, tokens().secondary))
