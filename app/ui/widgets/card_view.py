"""The text of a model's page, which a stranger wrote: shown, never obeyed."""

from __future__ import annotations

import re
from typing import Any

from PySide6.QtCore import QEvent, QUrl, Slot
from PySide6.QtGui import QDesktopServices, QTextDocument
from PySide6.QtWidgets import QTextBrowser, QWidget
from typing_extensions import override

_LONGEST = 40_000
_FRONT_MATTER = re.compile(r"\A---\s*\n.*?\n---\s*\n", re.DOTALL)
_LARGE_HEADING = re.compile(r"^#{1,2}\s+", re.MULTILINE)
_IMAGE = re.compile(r"!\[([^\]\n]{0,300})\]\([^)\n]{0,2000}\)")
_TAG = re.compile(r"</?[A-Za-z!][^>]{0,2000}>")
_SCRIPT = re.compile(r"<(script|style|svg)\b.*?(</\1\s*>|\Z)", re.DOTALL | re.IGNORECASE)


def readable(card: str) -> str:
    """A card as Markdown without markup of other kinds, pictures, and what is for machines."""
    text = _FRONT_MATTER.sub("", card[:_LONGEST])
    text = _SCRIPT.sub("", text)
    text = _IMAGE.sub(r"\1", text)
    text = _TAG.sub("", text)
    return _LARGE_HEADING.sub("### ", text).strip()


class CardView(QTextBrowser):
    """Loads nothing, from nowhere; a link opens in the browser, and only when it is clicked."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._card = ""
        self.setOpenLinks(False)
        self.setOpenExternalLinks(False)
        self.setAccessibleName(self.tr("The author's text"))
        self.anchorClicked.connect(self._open)

    def show_card(self, card: str) -> None:
        """Show the text of a page."""
        self._card = card
        self.document().setMarkdown(
            readable(card) or self.tr("The author has written nothing."),
            QTextDocument.MarkdownFeature.MarkdownNoHTML
            | QTextDocument.MarkdownFeature.MarkdownDialectGitHub,
        )
        self.moveCursor(self.textCursor().MoveOperation.Start)

    @override
    def changeEvent(self, event: QEvent) -> None:
        """The colour of links is laid down when the text is set."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange:
            self.show_card(self._card)

    @override
    def loadResource(self, type: int, name: QUrl | str) -> Any:
        return None

    @Slot(QUrl)
    def _open(self, link: QUrl) -> None:
        if link.scheme() in {"http", "https"}:
            QDesktopServices.openUrl(link)
