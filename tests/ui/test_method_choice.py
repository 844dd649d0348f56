"""The list of methods: what it offers, and what it says."""

from pathlib import Path

import pytest
from fake_answers import inspection

from app.core.model import Inspection
from app.ui.widgets.method_choice import MethodChoice

FOUND = Inspection.from_json(inspection(Path("/models/Qwen3-8B")))
CHOICES = {choice.preset: choice for choice in FOUND.choices}


@pytest.fixture
def method(qtbot):
    method = MethodChoice()
    qtbot.addWidget(method)
    method.set_methods(FOUND.methods)
    return method


def show(method, *presets):
    method.show_formats([CHOICES[preset] for preset in presets])


def offered(method):
    return [method.list.itemText(place) for place in range(method.list.count())]


def test_that_the_formats_own_method_comes_first_and_only_what_fits_follows(method):
    show(method, "w4a16-g128")
    assert offered(method) == [
        "Round to nearest (usual)",
        "Clipped rounding",
        "GPTQ",
        "AWQ",
        "AWQ, then GPTQ",
    ]
    show(method, "gptq-4bit-asym-v2-g128")
    assert offered(method) == ["GPTQ (usual)", "Round to nearest"]
    show(method, "w4a16-g128", "gptq-4bit-asym-v2-g128")
    assert offered(method)[:2] == ["As each format says", "Round to nearest"]
    own = "w4a16-g128: Round to nearest. gptq-4bit-asym-v2-g128: GPTQ."
    assert method.sentence.text().startswith(own)


def test_that_there_is_no_list_where_there_is_nothing_to_choose(method):
    show(method, "BF16")
    assert method.isHidden()
    show(method, "BF16", "Q4_K_M")
    assert not method.isHidden()


@pytest.mark.parametrize(
    ("preset", "wish", "gains"),
    [
        ("Q4_K_M", "", True),
        ("Q4_K_M", "gptq", False),
        ("w4a16-g128", "", True),
        ("w4a16-g128", "clipped", False),
        ("gptq-4bit-g128", "", False),
        ("gptq-4bit-g128", "nearest", True),
        ("Q8_0", "", False),  # bits are many
        ("IQ3_M", "", False),  # it does not suit
    ],
)
def test_that_gptq_is_suggested_where_plain_rounding_loses_clearly_more(
    method, preset, wish, gains
):
    show(method, preset)
    method.choose(wish)
    said = f"{preset} would lose clearly less with GPTQ" in method.sentence.text()
    assert said is gains


def test_that_a_method_says_what_it_does_and_what_it_does_not_suit(method):
    show(method, "w4a16-g128", "fp8")
    method.choose("gptq")
    assert method.list.currentText() == "GPTQ"
    text = method.sentence.text()
    assert text.startswith("The least error at 2 to 4 bits")
    assert "does not suit fp8; there the usual method stays" in text
    assert method.list.accessibleDescription() == text
    assert method.list.accessibleName() == "Method"


def test_that_a_choice_stays_from_format_to_format_but_not_for_another_model(method, qtbot):
    show(method, "w4a16-g128")
    with qtbot.waitSignal(method.changed):
        method.list.activated.emit(method.list.findText("GPTQ"))
    show(method, "fp8")
    assert method.list.currentText() == "Round to nearest (usual)"
    show(method, "gptq-4bit-g128")
    assert method.list.currentText() == "GPTQ (usual)"
    show(method, "Q4_K_M")
    assert method.list.currentText() == "GPTQ"
    method.set_methods(FOUND.methods)
    show(method, "Q4_K_M")
    assert method.list.currentText() == "Round to nearest (usual)"
