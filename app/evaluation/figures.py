"""A report's pictures as SVG that lives inside a page: colours come from the page's classes."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from app.core import words
from app.core.report import TensorResult
from app.evaluation.breakdown import HeatMap, PartSize

_WIDTH = 896
_LABEL = 144
_SIZES = 160
_CELL_HEIGHT = 16
_LARGEST_CELL = 72


def size_bars(parts: Sequence[PartSize]) -> str:
    """Two bars a part: before in a quiet colour, after in the accent."""
    largest = max((max(part.before, part.after) for part in parts), default=0) or 1
    scale = (_WIDTH - _LABEL - _SIZES) / largest
    bars = []
    for index, part in enumerate(parts):
        top = 40 * index
        text = f"{words.size(part.before)} \N{RIGHTWARDS ARROW} {words.size(part.after)}"
        bars.append(
            f'<text x="0" y="{top + 20}">{escape(part.part)}</text>'
            f'<rect class="before" x="{_LABEL}" y="{top + 4}" rx="2" height="10"'
            f' width="{max(1.0, part.before * scale):.1f}"/>'
            f'<rect class="after" x="{_LABEL}" y="{top + 16}" rx="2" height="10"'
            f' width="{max(1.0, part.after * scale):.1f}"/>'
            f'<text x="{_WIDTH}" y="{top + 20}" text-anchor="end">{text}</text>'
        )
    return _svg("Size by part, before and after", 40 * len(parts), bars)


def heat_squares(heat: HeatMap) -> str:
    """One square for each matrix: layers downward, kinds to the right, darker is worse."""
    width = min(_LARGEST_CELL, (_WIDTH - _LABEL) / max(1, len(heat.kinds)))
    drawn = [
        f'<text transform="translate({_LABEL + width * (column + 0.5):.1f} 76) rotate(-40)">'
        f"{escape(kind)}</text>"
        for column, kind in enumerate(heat.kinds)
    ]
    for layer, row in enumerate(heat.rows):
        top = 84 + layer * _CELL_HEIGHT
        drawn.append(f'<text x="0" y="{top + 12}">layer {layer}</text>')
        for column, cell in enumerate(row):
            place = f'x="{_LABEL + width * column:.1f}" y="{top}"'
            drawn.append(_square(cell, f'{place} width="{width - 2:.1f}"', heat.largest))
    return _svg("Error by layer and kind of matrix", 84 + _CELL_HEIGHT * len(heat.rows), drawn)


def _square(cell: TensorResult | None, place: str, largest: float) -> str:
    size = f'height="{_CELL_HEIGHT - 2}" rx="2"'
    if cell is None:
        return f'<rect class="empty" {place} {size}/>'
    strength = 0.06 + 0.94 * cell.error / largest if largest else 0.06
    hint = f"{cell.name}, {cell.encoding}: {words.percent(cell.error)}"
    return (
        f'<rect class="heat" fill-opacity="{strength:.3f}" {place} {size}>'
        f"<title>{escape(hint)}</title></rect>"
    )


def _svg(name: str, height: int, drawn: Sequence[str]) -> str:
    return (
        f'<svg role="img" aria-label="{escape(name)}" viewBox="0 0 {_WIDTH} {height}"'
        f' width="{_WIDTH}" height="{height}">{"".join(drawn)}</svg>'
    )
