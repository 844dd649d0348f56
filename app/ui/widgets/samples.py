"""Texts of the original and the result side by side, with what differs marked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from html import escape

from PySide6.QtCore import QEvent, Qt
from PySide6.QtWidgets import QGridLayout, QLabel, QWidget
from typing_extensions import override

from app.core.report import Sample
from app.ui.theme import tokens
from app.ui.widgets.clear import clear
from app.ui.widgets.text import label

_WORD = re.compile(r"\s+|[^\s]+")
_GAP = re.compile(r"\s*\n\s*\n\s*")


def marked(before: str, after: str) -> tuple[str, str]:
    """Both texts as HTML; the words that are not in the other one are underlaid."""
    left, right = _WORD.findall(before), _WORD.findall(after)
    style = f"background-color: {tokens().selected};"
    one: list[str] = []
    two: list[str] = []
    for kind, i, j, k, m in SequenceMatcher(a=left, b=right, autojunk=False).get_opcodes():
        for words, out in ((left[i:j], one), (right[k:m], two)):
            text = escape("".join(words)).replace("\n", "<br>")
            out.append(text if kind == "equal" else f'<span style="{style}">{text}</span>')
    return "".join(one), "".join(two)


def _tight(text: str) -> str:
    """`text` without the empty lines that small models like to write."""
    return _GAP.sub("\n", text.strip())


class Samples(QWidget):
    """One row a prompt."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._samples: Sequence[Sample] = ()
        self._pairs: list[tuple[QLabel, QLabel]] = []
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(24)
        self._grid.setVerticalSpacing(6)
        self._grid.setColumnStretch(0, 1)
        self._grid.setColumnStretch(1, 1)

    def show_samples(self, samples: Sequence[Sample], preset: str) -> None:
        """Lay out these."""
        clear(self._grid)
        self._samples, self._pairs = samples, []
        for column, title in enumerate((self.tr("Original"), preset)):
            self._grid.addWidget(label(title, "secondary"), 0, column)
        for row, sample in enumerate(samples):
            prompt = label(self.tr("“{}”").format(sample.prompt), "strong", wrap=True)
            prompt.setContentsMargins(0, 6, 0, 0)
            self._grid.addWidget(prompt, 2 * row + 1, 0, 1, 2)
            pair = (self._text(), self._text())
            for column, text in enumerate(pair):
                self._grid.addWidget(text, 2 * row + 2, column)
            self._pairs.append(pair)
        self._fill()

    def _text(self) -> QLabel:
        text = QLabel(wordWrap=True, textFormat=Qt.TextFormat.RichText)
        text.setAlignment(Qt.AlignmentFlag.AlignTop)
        text.setMinimumWidth(1)  # a word without end must not push the other text out
        text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        return text

    def _fill(self) -> None:
        for sample, (left, right) in zip(self._samples, self._pairs, strict=True):
            before, after = marked(_tight(sample.before), _tight(sample.after))
            left.setText(before)
            right.setText(after)

    @override
    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange:
            self._fill()
