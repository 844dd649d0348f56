"""The form of a method's options: what it shows, and what it makes of recipes and jobs."""

from pathlib import Path

import pytest
from fake_answers import inspection
from PySide6.QtWidgets import QCheckBox, QComboBox, QLineEdit, QSpinBox

from app.core.job import Job, Output
from app.core.model import Inspection
from app.core.recipe import Recipe
from app.ui.methods import ChosenMethods
from app.ui.recommend import usual_recipe
from app.ui.widgets.method_form import MethodForm

FOUND = Inspection.from_json(inspection(Path("/models/Qwen3-8B")))
CHOICES = {choice.preset: choice for choice in FOUND.choices}
KNOWN = {method.name: method for method in FOUND.methods}


@pytest.fixture
def form(qtbot):
    form = MethodForm()
    qtbot.addWidget(form)
    return form


def show(form, *presets, wish="", known=KNOWN):
    form.show_methods(ChosenMethods([CHOICES[preset] for preset in presets], known, wish))


def recipe(form, preset):
    return form.apply(usual_recipe(CHOICES[preset]), CHOICES[preset])


def test_that_options_get_editors_of_their_kinds_and_only_changes_count(form):
    show(form, "w4a16-g128", wish="gptq")
    editors = form.options.editors
    kinds = {name: type(editor.control) for name, editor in editors.items()}
    assert kinds == {"damping": QLineEdit, "refit": QComboBox, "quantized_inputs": QCheckBox}
    assert form.heading.text() == "GPTQ"
    assert recipe(form, "w4a16-g128") == Recipe("w4a16-g128", "gptq")
    assert form.is_usual
    editors["damping"].value = "0.05"
    editors["refit"].value = "no"
    editors["quantized_inputs"].control.setChecked(False)
    changed = (("damping", "0.05"), ("refit", "no"), ("quantized_inputs", "no"))
    assert recipe(form, "w4a16-g128").options == changed
    assert not form.is_usual
    editors["damping"].control.clear()  # nothing is the default
    assert recipe(form, "w4a16-g128").options == changed[1:]
    form.reset.click()
    assert recipe(form, "w4a16-g128").options == ()
    show(form, "w4a16-g128", wish="awq")
    assert isinstance(form.options.editors["powers"].control, QSpinBox)
    assert form.options.editors["powers"].control.maximum() == 1000


def test_that_options_go_with_their_method_and_come_back_with_it(form):
    show(form, "w4a16-g128", "fp8", wish="gptq")
    form.options.editors["damping"].value = "0.05"
    assert recipe(form, "w4a16-g128").options == (("damping", "0.05"),)
    assert recipe(form, "fp8") == usual_recipe(CHOICES["fp8"])
    show(form, "fp8", wish="gptq")
    assert not form.isVisibleTo(None)
    assert form.is_usual
    show(form, "w4a16-g128", wish="gptq")
    assert recipe(form, "w4a16-g128").options == (("damping", "0.05"),)
    show(form, "w4a16-g128", wish="gptq", known=dict(KNOWN))  # another model
    assert recipe(form, "w4a16-g128").options == ()


def test_that_a_formats_own_method_has_its_options_too(form):
    show(form, "gptq-4bit-g128")
    form.options.editors["damping"].value = "0.05"
    assert recipe(form, "gptq-4bit-g128").options == (("damping", "0.05"),)
    assert form.calibration.isVisibleTo(form)
    show(form, "gptq-4bit-g128", "w4a16-g128")  # which have no method in common
    assert not form.options.isVisibleTo(form)
    assert form.calibration.isVisibleTo(form)
    assert recipe(form, "gptq-4bit-g128").options == ()


def test_that_the_text_reaches_jobs_whose_method_is_shown_one(form):
    job = Job("x", "/m", (Output("/t", Recipe("w4a16-g128")),), calibration="/importances.txt")
    show(form, "w4a16-g128", wish="clipped")
    form.calibration.samples.setValue(7)
    assert form.show_model_to(job) == job
    assert form.is_usual
    show(form, "w4a16-g128", wish="gptq")
    assert not form.is_usual
    shown = form.show_model_to(job)
    assert (shown.samples, shown.length, shown.calibration) == (7, 0, "/importances.txt")
    form.calibration.show_text("/mine.txt")
    assert form.show_model_to(job).calibration == "/mine.txt"
    show(form, "gptq-4bit-g128")
    assert form.show_model_to(job).samples == 7
