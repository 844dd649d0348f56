"""The form of a method: what it offers, and what it makes of recipes and jobs."""

from pathlib import Path

import pytest
from fake_answers import inspection
from PySide6.QtWidgets import QCheckBox, QComboBox, QLineEdit, QSpinBox

from app.core.job import Job, Output
from app.core.model import Inspection
from app.core.recipe import AUTOMATIC, Recipe
from app.ui.recommend import usual_recipe
from app.ui.widgets.method_form import MethodForm, method_title

FOUND = Inspection.from_json(inspection(Path("/models/Qwen3-8B")))
CHOICES = {choice.preset: choice for choice in FOUND.choices}


@pytest.fixture
def form(qtbot):
    form = MethodForm()
    qtbot.addWidget(form)
    form.set_methods(FOUND.methods)
    return form


def show(form, *presets):
    form.show_formats([CHOICES[preset] for preset in presets])


def recipe(form, preset):
    return form.apply(usual_recipe(CHOICES[preset]), CHOICES[preset])


def test_that_only_methods_that_fit_a_chosen_format_are_offered(form):
    show(form, "w4a16-g128")
    offered = {form.method.itemData(place) for place in range(form.method.count())}
    assert offered == {"", "nearest", "clipped", "gptq", "awq", "awq+gptq"}
    show(form, "bf16-folder")
    assert not form.method.isEnabled()
    assert method_title("awq+gptq") == "AWQ, then GPTQ"


def test_that_options_get_editors_of_their_kinds_and_only_changes_count(form):
    show(form, "w4a16-g128")
    form.choose("gptq")
    editors = form.options.editors
    kinds = {name: type(editor.control) for name, editor in editors.items()}
    assert kinds == {"damping": QLineEdit, "refit": QComboBox, "quantized_inputs": QCheckBox}
    assert recipe(form, "w4a16-g128") == Recipe("w4a16-g128", "gptq")
    editors["damping"].value = "0.05"
    editors["refit"].value = "no"
    editors["quantized_inputs"].control.setChecked(False)
    changed = (("damping", "0.05"), ("refit", "no"), ("quantized_inputs", "no"))
    assert recipe(form, "w4a16-g128").options == changed
    editors["damping"].control.clear()  # nothing is the default
    assert recipe(form, "w4a16-g128").options == changed[1:]
    form.reset.click()
    assert recipe(form, "w4a16-g128").options == ()
    form.choose("awq")
    assert isinstance(form.options.editors["powers"].control, QSpinBox)
    assert form.options.editors["powers"].control.maximum() == 1000


def test_that_a_method_stays_away_from_formats_that_it_does_not_suit(form):
    show(form, "w4a16-g128", "fp8")
    form.choose("awq")
    assert "does not suit fp8" in form.sentence.text()
    assert recipe(form, "w4a16-g128").method == "awq"
    assert recipe(form, "fp8") == usual_recipe(CHOICES["fp8"])
    show(form, "fp8")
    assert form.is_usual
    assert not form.options.isVisibleTo(form)


def test_that_another_model_begins_with_each_formats_own_method(form):
    show(form, "w4a16-g128")
    form.choose("gptq")
    form.set_methods(FOUND.methods)
    assert form.is_usual
    assert recipe(form, "w4a16-g128").method == "nearest"


def test_that_a_method_that_sees_the_model_needs_no_matrix_but_where_the_format_does(form):
    show(form, "Q4_K_M", "IQ2_M")
    form.choose("gptq")
    weighed = Recipe("Q4_K_M", importance=AUTOMATIC)
    assert form.apply(weighed, CHOICES["Q4_K_M"]).importance == ""
    assert recipe(form, "IQ2_M").importance == AUTOMATIC


def test_that_the_text_reaches_jobs_whose_method_is_shown_one(form):
    job = Job("x", "/m", (Output("/t", Recipe("w4a16-g128")),), calibration="/importances.txt")
    show(form, "w4a16-g128")
    form.calibration.samples.setValue(7)
    form.choose("clipped")
    assert form.show_model_to(job) == job
    form.choose("gptq")
    shown = form.show_model_to(job)
    assert (shown.samples, shown.length, shown.calibration) == (7, 0, "/importances.txt")
    form.calibration.show_text("/mine.txt")
    assert form.show_model_to(job).calibration == "/mine.txt"
