from dataclasses import replace

import pytest

from app.core.fit import Fit, FitOptions, FitWord
from app.core.model import FormatChoice, Problem
from app.formats.gguf.presets import PRESETS
from app.formats.size_classes import EXPERIMENTS as EXPERIMENTS_OF_GGUF
from app.formats.size_classes import SIZE_CLASSES
from app.ui.recommend import (
    EXPERIMENTS,
    best_choice,
    has_few_bits,
    make_it_fit,
    shortlist,
    usual_recipe,
)

OPTIONS = FitOptions(context=4096)
WORDS = {
    "+": Fit(FitWord.FITS, OPTIONS),
    "~": Fit(FitWord.TIGHT, OPTIONS),
    "/": Fit(FitWord.PARTLY, OPTIONS),
    "o": Fit(FitWord.MEMORY, OPTIONS, high=80, budget=100),
    "O": Fit(FitWord.MEMORY, OPTIONS, high=95, budget=100),
    "-": Fit(FitWord.NOT, OPTIONS),
}


def choice(preset, nbytes, group="middle", quality="", **rest):
    return FormatChoice(
        preset, "gguf", "", ".gguf", "", quality or preset, preset == "C", nbytes, nbytes / 8,
        group=group, **rest,
    )  # fmt: skip


CHOICES = (choice("A", 100), choice("B", 50), choice("C", 30), choice("D", 20))


def fits(signs):
    return {name: WORDS[sign] for name, sign in zip("ABCD", signs, strict=False)}


def test_that_a_size_class_shows_its_featured_format():
    rows = (choice("A", 9), choice("B", 8, featured=True), choice("C", 1, "small"))
    assert shortlist(rows) == {"B", "C"}


def test_that_another_one_takes_the_place_of_a_featured_format_that_is_not_possible():
    broken = choice("B", 8, featured=True, problem=Problem("no"))
    assert shortlist((choice("A", 9), broken)) == {"A"}
    assert shortlist((broken,)) == set()


def test_that_experiments_are_neither_short_listed_nor_recommended():
    rows = (choice("E", 79, EXPERIMENTS, featured=True), choice("C", 30))
    assert shortlist(rows) == {"C"}
    assert best_choice(rows, {"E": WORDS["+"], "C": WORDS["+"]}, 100) == "C"


def test_that_the_presets_of_gguf_have_one_featured_format_in_each_class_but_experiments():
    featured = [preset.group for preset in PRESETS if preset.featured]
    classes = dict.fromkeys(preset.group for preset in PRESETS)
    assert EXPERIMENTS_OF_GGUF == EXPERIMENTS
    assert featured == [group for group in classes if group != EXPERIMENTS]


def test_that_bits_are_few_between_the_original_and_experiments():
    few = [group for group in SIZE_CLASSES if has_few_bits(choice("A", 9, group))]
    assert few == ["the usual choice", "small", "very small"]


@pytest.mark.parametrize(
    ("signs", "best"), [("", "C"), ("++++", "B"), ("~~++", "C"), ("~~~~", "C"), ("~~~+", "D")]
)
def test_that_the_best_quality_that_fits_well_is_recommended(signs, best):
    assert best_choice(CHOICES, fits(signs), 100) == best


def test_that_nothing_is_recommended_where_there_is_nothing():
    assert best_choice((), {}, 100) == ""
    assert make_it_fit((), {}, 100) is None


def test_that_a_measured_loss_counts_more_than_bits():
    old, new = choice("A", 52, loss=0.3), choice("B", 50, loss=0.04)
    assert best_choice((old, new), fits("++"), 100) == "B"


def test_that_without_measures_a_larger_format_of_the_same_quality_is_not_better():
    old, new = choice("A", 52, quality="good"), choice("B", 50, quality="good")
    assert best_choice((old, new), fits("++"), 100) == "B"
    assert best_choice((replace(old, featured=True), new), fits("++"), 100) == "A"


def test_that_fitting_takes_the_best_that_fits_well_and_says_what_comes_next():
    found = make_it_fit(CHOICES, fits("~~++"), 100)
    assert found.preset == "C"
    assert "best quality that fits well with a context of 4,096" in found.reason
    assert "B: fits tightly" in found.reason


@pytest.mark.parametrize(
    ("signs", "preset", "why"),
    [
        ("-~~~", "B", "Nothing fits well"),
        ("---/", "D", "in part"),
        ("oooo", "C", "runs on the processor"),
        ("OOOo", "D", "runs on the processor"),
    ],
)
def test_that_fitting_takes_what_is_next_best(signs, preset, why):
    found = make_it_fit(CHOICES, fits(signs), 100)
    assert found.preset == preset
    assert why in found.reason


def test_that_fitting_says_so_where_nothing_runs():
    assert make_it_fit(CHOICES, fits("----"), 100) is None


def test_that_the_usual_recipe_is_that_of_the_preset():
    for preset in PRESETS:
        row = choice(preset.name, 1, needs_importance=preset.needs_importance)
        assert usual_recipe(row) == preset.recipe()
