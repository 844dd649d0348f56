import pytest

from app.calibration.treatment import Treatment, method_names, method_options
from app.core.errors import Unsupported
from app.core.places import sample_model
from app.core.recipe import Recipe
from app.encodings import find_encoding
from app.formats import FORMATS
from app.methods import METHODS, SMOOTHINGS
from app.methods.gptq import Gptq
from app.methods.options import options_of
from app.models.open import open_model


def test_that_a_method_and_its_options_are_read_from_words():
    treatment = Treatment.of("awq+gptq", (("damping", "0.05"), ("powers", "7"), ("refit", "no")))
    assert treatment.main == Gptq(damping=0.05, refit=False)
    assert treatment.smoothing.powers == 7
    assert treatment.needs >= {"second_moment", "mean_abs", "samples"}


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("gptq", (("dampin", "1"),), "no option called 'dampin'"),
        ("gptq", (("damping", "much"),), "cannot be 'much'"),
        ("gptq", (("damping", "-1"),), "cannot be '-1'"),
        ("gptq", (("refit", "2"),), "cannot be '2'"),
        ("nearest", (("damping", "1"),), "no option"),
        ("magic", (), "no method called 'magic'"),
        ("gptq+awq", (), "do not go together"),
    ],
)
def test_that_what_cannot_be_understood_is_refused_by_name(name, options, words):
    with pytest.raises(Unsupported, match=words):
        Treatment.of(name, options)


@pytest.mark.parametrize("name", method_names())
def test_that_every_option_has_a_sentence_and_its_default_can_be_written_and_read(name):
    for one in method_options(name):
        assert one.sentence.endswith(".")
        assert one.read(one.written(one.default)) == one.default
    defaults = tuple((one.name, one.written(one.default)) for one in method_options(name))
    assert Treatment.of(name, defaults) == Treatment.of(name)


def test_that_options_of_methods_that_go_together_have_different_names():
    for smoothing in SMOOTHINGS.values():
        for method in METHODS.values():
            names = [one.name for kind in (smoothing, method) for one in options_of(kind)]
            assert len(names) == len(set(names))


def test_that_what_a_method_does_not_fit_is_rounded_to_the_nearest():
    treatment = Treatment.of("gptq")
    assert treatment.rounding(find_encoding("Q4_K")).name == "gptq"
    assert treatment.rounding(find_encoding("IQ4_XS")).name == "nearest"
    assert treatment.rounding(find_encoding("F32")).name == "nearest"


@pytest.mark.parametrize("name", ["gptq", "awq", "hqq", "clipped"])
def test_that_a_method_without_weights_to_quantize_is_refused(name):
    plan = FORMATS["safetensors"].prepare(open_model(sample_model())).plan(Recipe("bf16-folder"))
    assert Treatment.of("nearest").noted(plan) == plan
    with pytest.raises(Unsupported, match=f"{name} has nothing to choose here"):
        Treatment.of(name).noted(plan)


@pytest.mark.parametrize(
    ("name", "accepted"), [("awq", True), ("gptq", False), ("awq+gptq", False)]
)
def test_that_a_method_asked_for_has_to_fit_behind_a_smoothing_too(name, accepted):
    plan = FORMATS["safetensors"].prepare(open_model(sample_model())).plan(Recipe("bnb-int8"))
    if accepted:
        assert Treatment.of(name).noted(plan) == plan
    else:
        with pytest.raises(Unsupported, match="numbers of the format bnb-int8"):
            Treatment.of(name).noted(plan)
