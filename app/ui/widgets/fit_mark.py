"""The answers to "does it run here?": sign, colour and words, the same everywhere."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import QCoreApplication, QPointF, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget
from typing_extensions import override

from app.core import words
from app.core.fit import GLYPHS, Fit, FitWord
from app.ui.theme import tokens

_TONES = {
    FitWord.FITS: "good",
    FitWord.TIGHT: "careful",
    FitWord.PARTLY: "partly",
    FitWord.MEMORY: "secondary",
    FitWord.NOT: "bad",
    FitWord.ELSEWHERE: "disabled",
    FitWord.UNKNOWN: "disabled",
}
_SIGN = 20
"""From the sign's left edge to the word, in px."""
_RADIUS = 4.5
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter

#: From best to worst; what cannot be told comes last.
ORDER = {word: place for place, word in enumerate(FitWord)}


def _tr(text: str) -> str:
    return QCoreApplication.translate("Fit", text)


def fit_word(fit: Fit) -> str:
    """The answer without its sign: "partly on the GPU (24 of 36 layers)"."""
    text = {
        FitWord.FITS: _tr("fits well"),
        FitWord.TIGHT: _tr("fits tightly"),
        FitWord.PARTLY: _tr("partly on the GPU"),
        FitWord.MEMORY: _tr("memory only"),
        FitWord.NOT: _tr("does not fit"),
        FitWord.ELSEWHERE: _tr("needs other hardware"),
        FitWord.UNKNOWN: _tr("not known"),
    }[fit.word]
    if fit.word is FitWord.PARTLY and fit.layers:
        return _tr("{} ({} of {} layers)").format(text, fit.layers_on_gpu, fit.layers)
    return text


def fit_text(fit: Fit) -> str:
    """The answer with its sign, where nothing can be painted."""
    return f"{GLYPHS[fit.word]} {fit_word(fit)}"


def is_elsewhere(fit: Fit | None) -> bool:
    """Whether the result is for another computer whatever memory this one has."""
    return fit is not None and fit.word is FitWord.ELSEWHERE


def fit_tip(fit: Fit) -> str:
    """What the answer is made of, what it assumes, and what would make it fit."""
    lines = [fit_text(fit), *_amounts(fit)]
    if fit.word_after_closing not in {fit.word, FitWord.UNKNOWN}:
        closed = fit_word(Fit(fit.word_after_closing, fit.options))
        lines.append(_tr("With other programs closed: {}").format(closed))
    if fit.largest_context:
        lines.append(_tr("Longest context that fits: {:,}").format(fit.largest_context))
    if fit.tokens_per_second:
        lines.append(
            _tr("About {:.0f} to {:.0f} tokens a second, estimated").format(*fit.tokens_per_second)
        )
    if fit.reason:
        lines.append(fit.reason)
    return "\n".join(lines)


def fit_summary(fit: Fit) -> str:
    """One line: what it needs of what there is, how fast it may be, and what would help."""
    if is_elsewhere(fit):
        return f"{fit.reason} {_tr('It can be made here all the same.')}".strip()
    parts = _amounts(fit)[:1]
    if fit.tokens_per_second:
        low, high = fit.tokens_per_second
        parts.append(_tr("about {:.0f} to {:.0f} tokens a second").format(low, high))
    if fit.reason:
        parts.append(fit.reason)
    return "  ·  ".join(parts)


def _amounts(fit: Fit) -> list[str]:
    if not fit.needs:
        return []
    least, most = words.memory(fit.low), words.memory(fit.high)
    span = most if least == most else _tr("{} to {}").format(least, most)
    parts = ", ".join(f"{_part(need.name)} {words.memory(need.nbytes)}" for need in fit.needs)
    return [
        _tr("Needs {} of {} free, with a context of {:,}").format(
            span, words.memory(fit.budget), fit.options.context
        ),
        parts,
    ]


def _part(name: str) -> str:
    """One of the names that needs have: "Weights"."""
    return QCoreApplication.translate("Fit", name)


def paint_sign(painter: QPainter, middle: QPointF, word: FitWord, tone: QColor) -> None:
    """Draw one of `GLYPHS`; fonts have them in different sizes, or not at all."""
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(tone, 1.5))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    circle = QRectF(middle.x() - _RADIUS, middle.y() - _RADIUS, 2 * _RADIUS, 2 * _RADIUS)
    if word is FitWord.NOT:
        for side in (-1, 1):
            reach = QPointF(0.8 * _RADIUS, 0.8 * _RADIUS * side)
            painter.drawLine(middle - reach, middle + reach)
        return
    if word is FitWord.UNKNOWN:
        painter.drawText(circle.adjusted(0, -4, 0, 4), Qt.AlignmentFlag.AlignCenter, "?")
        return
    painter.drawEllipse(circle)
    if word is FitWord.ELSEWHERE:
        reach = QPointF(0.7 * _RADIUS, -0.7 * _RADIUS)
        painter.drawLine(middle - reach, middle + reach)
        return
    start, span = {
        FitWord.FITS: (0, 360),
        FitWord.TIGHT: (90, 180),
        FitWord.PARTLY: (-90, 180),
    }.get(word, (0, 0))
    painter.setBrush(tone)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.drawPie(circle, 16 * start, 16 * span)


def paint_fit(painter: QPainter, place: QRect, fit: Fit, text: str = "") -> None:
    """Draw sign and word into `place`; without the layers, then cut off, where room ends.

    `text` stands for the word, where there is one.
    """
    colours = tokens()
    painter.save()
    tone = QColor(getattr(colours, _TONES[fit.word]))
    paint_sign(painter, QPointF(place.left() + 6, place.center().y() + 1), fit.word, tone)
    painter.setPen(QColor(colours.disabled if is_elsewhere(fit) else colours.text))
    room = place.adjusted(_SIGN, 0, 0, 0)
    metrics, text = painter.fontMetrics(), text or fit_word(fit)
    if fit.layers and metrics.horizontalAdvance(text) > room.width():
        text = fit_word(replace(fit, layers=0))
    shown = metrics.elidedText(text, Qt.TextElideMode.ElideRight, room.width())
    painter.drawText(room, _LEFT, shown)
    painter.restore()


class FitMark(QWidget):
    """Sign and word as a part of a page; hovering gives the reasons."""

    def __init__(self, parent: QWidget | None = None, *, brief: bool = False) -> None:
        """`brief` leaves the number of layers to the tip."""
        super().__init__(parent)
        self._fit: Fit | None = None
        self._brief = brief
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    def show_fit(self, fit: Fit | None, name: str = "") -> None:
        """Show an answer; `name` is what it is about, for screen readers. None shows nothing."""
        self._fit = fit
        text = fit_word(fit) if fit else ""
        self.setToolTip(fit_tip(fit) if fit else "")
        self.setAccessibleName(f"{name}: {text}" if name else text)
        self.setAccessibleDescription(fit_tip(fit) if fit else "")
        self.updateGeometry()
        self.update()

    @override
    def sizeHint(self) -> QSize:
        metrics = QFontMetrics(self.font())
        text = fit_word(self._shown) if self._shown else ""
        return QSize(_SIGN + metrics.horizontalAdvance(text) + 4, metrics.height() + 4)

    @override
    def minimumSizeHint(self) -> QSize:
        return QSize(_SIGN, self.sizeHint().height())

    @override
    def paintEvent(self, event: QPaintEvent) -> None:
        if self._shown is not None:
            painter = QPainter(self)
            paint_fit(painter, self.rect(), self._shown)
            painter.end()

    @property
    def _shown(self) -> Fit | None:
        return replace(self._fit, layers=0) if self._fit and self._brief else self._fit
