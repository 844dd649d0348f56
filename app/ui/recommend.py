"""Which of many formats to show first, and which one to recommend here. No widgets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QCoreApplication

from app.core.fit import Fit, FitWord
from app.core.model import FormatChoice
from app.core.recipe import AUTOMATIC, Recipe

EXPERIMENTS = "for experiments"
"""The size class of formats that suit few models; none of them is ever recommended."""

_MANY_BITS = "near the original"
"""The size class of formats that hardly lose anything, however their numbers are chosen."""

_WORTH_MAKING = 0.8
"""A result that is larger than this part of the original is not recommended."""
_COMFORT = 0.9
"""Of the memory: a result that takes more of it fits, but tightly."""
_BY_CARD = (FitWord.FITS, FitWord.TIGHT, FitWord.PARTLY)


@dataclass(frozen=True, slots=True)
class Advice:
    """A format, and why this one."""

    preset: str
    reason: str


def _tr(text: str) -> str:
    return QCoreApplication.translate("Recommend", text)


def usual_recipe(choice: FormatChoice) -> Recipe:
    """What the sizes in lists are those of."""
    importance = AUTOMATIC if choice.needs_importance else ""
    return Recipe(choice.preset, choice.method, importance=importance, requantize=choice.requantize)


def has_few_bits(choice: FormatChoice) -> bool:
    """Whether people notice how its numbers are chosen.

    The bits of its matrices decide that, not those of a file whose embedding may stay as it is.
    """
    return choice.group not in {_MANY_BITS, EXPERIMENTS}


def shortlist(choices: Iterable[FormatChoice]) -> set[str]:
    """One format a size class: the featured one, or the middle one where that is not possible."""
    classes: dict[str, list[FormatChoice]] = {}
    for choice in choices:
        if choice.problem is None and choice.group != EXPERIMENTS:
            classes.setdefault(choice.group, []).append(choice)
    return {_first(members).preset for members in classes.values()}


def _first(members: Sequence[FormatChoice]) -> FormatChoice:
    return next((row for row in members if row.featured), members[len(members) // 2])


def best_choice(choices: Sequence[FormatChoice], fits: Mapping[str, Fit], source_bytes: int) -> str:
    """The format to recommend: the best that fits well and is worth making, or the usual one."""
    fitting = [
        choice
        for choice in _by_quality(choices, source_bytes)
        if choice.preset in fits and fits[choice.preset].word is FitWord.FITS
    ]
    found = fitting[0] if fitting else _usual(choices)
    return found.preset if found else ""


def make_it_fit(
    choices: Sequence[FormatChoice], fits: Mapping[str, Fit], source_bytes: int
) -> Advice | None:
    """The best quality that runs here without trouble; None where nothing runs at all.

    Without room on a graphics card the usual choice is the largest that is taken: on a processor
    a better one is slower than it is better.
    """
    rows = [row for row in _by_quality(choices, source_bytes) if row.preset in fits]
    for word in _BY_CARD:
        for place, row in enumerate(rows):
            if fits[row.preset].word is word:
                return Advice(row.preset, _why(row, rows[:place], fits))
    usual = _usual(choices)
    for row in rows:
        fit = fits[row.preset]
        small = usual is None or row.nbytes <= usual.nbytes
        if small and fit.word is FitWord.MEMORY and fit.high <= _COMFORT * fit.budget:
            return Advice(
                row.preset,
                _tr(
                    "{} has room in the memory and runs on the processor, where larger formats "
                    "are slow."
                ).format(row.preset),
            )
    return None


def _why(row: FormatChoice, better: Sequence[FormatChoice], fits: Mapping[str, Fit]) -> str:
    fit = fits[row.preset]
    text = {
        FitWord.FITS: _tr("{} is the best quality that fits well with a context of {:,}."),
        FitWord.TIGHT: _tr("Nothing fits well with a context of {1:,}; {0} is the best that fits."),
        FitWord.PARTLY: _tr(
            "Nothing fits on the graphics card with a context of {1:,}; {0} is the best that "
            "runs there in part."
        ),
    }[fit.word].format(row.preset, fit.options.context)
    if not better or fit.word is not FitWord.FITS:
        return text
    next_better = better[-1]
    word = fits[next_better.preset].word.value
    return f"{text} {_tr('The next better one, {}: {}.').format(next_better.preset, word)}"


def _usual(choices: Iterable[FormatChoice]) -> FormatChoice | None:
    """The recommended one; where none is, one that is featured, rather of few bits than of many."""
    working = [choice for choice in choices if choice.problem is None]
    featured = [row for row in working if row.featured and row.group != EXPERIMENTS]
    smallest = min(featured, key=lambda row: row.bits_per_weight, default=None)
    first = smallest or next(iter(working), None)
    return next((row for row in working if row.recommended), first)


def _by_quality(choices: Iterable[FormatChoice], source_bytes: int) -> list[FormatChoice]:
    """Those worth making, the best first: by measured loss where all have been measured.

    Where they have not, more bits are better; but a format that is larger than another one of
    the same quality is left out then, unless it is one that lists feature.
    """
    rows = [
        row
        for row in choices
        if row.problem is None
        and row.group != EXPERIMENTS
        and row.nbytes <= _WORTH_MAKING * source_bytes
    ]
    if all(row.loss is not None for row in rows):
        return sorted(rows, key=lambda row: (row.loss or 0.0, row.nbytes))
    smallest: dict[str, int] = {}
    for row in rows:
        smallest[row.quality] = min(row.nbytes, smallest.get(row.quality, row.nbytes))
    kept = [row for row in rows if row.featured or row.nbytes == smallest[row.quality]]
    return sorted(kept, key=lambda row: -row.bits_per_weight)
