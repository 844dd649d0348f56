"""The methods that lists and forms offer for a result."""

import pytest

from app.calibration.offered import describe_methods, methods_for
from app.calibration.treatment import Treatment, method_options
from app.core.errors import Unsupported
from app.formats import FORMATS, find_preset
from app.inspection import inspect_checkpoint
from app.models import open_model


@pytest.fixture(scope="module")
def sample():
    return open_model("sample")


@pytest.fixture(scope="module")
def offered(sample):
    def methods(name):
        form, preset = find_preset(name)
        plan = form.prepare(sample).plan(preset.recipe())
        return methods_for(plan, rounds_inputs=preset.rounds_inputs)

    return methods


def test_that_weights_without_codes_leave_nothing_to_choose(offered):
    assert offered("BF16") == offered("bf16-folder") == ("nearest",)


def test_that_a_method_is_offered_where_it_fills_most_of_the_weights(offered):
    assert "gptq" in offered("Q4_K_M")
    assert "gptq" in offered("w4a16-g128")
    assert "gptq" not in offered("IQ2_M")  # whose embedding it could fill
    assert "hqq" in offered("mlx-4bit")
    assert "hqq" not in offered("w4a16-g128")  # it has no zero points
    assert offered("bnb-nf4")[0] == "nearest"


def test_that_smoothing_of_inputs_is_offered_where_they_are_rounded(offered):
    assert "smoothquant" in offered("w8a8-int8")
    assert "smoothquant" not in offered("w8a16")


def test_that_all_that_is_offered_for_a_folder_is_accepted_for_it(sample):
    form = FORMATS["safetensors"]
    conversion = form.prepare(sample)
    tried = 0
    for preset in form.presets:
        try:
            plan = conversion.plan(preset.recipe())
        except Unsupported:  # of another family
            continue
        for name in methods_for(plan, rounds_inputs=preset.rounds_inputs):
            Treatment.of(name).noted(plan)
            tried += 1
    assert tried > 150


def test_that_smoothing_is_offered_where_ranges_of_inputs_are_stored(offered):
    assert offered("w8a8-int8-static") == offered("w8a8-int8")
    assert "smoothquant" in offered("fp8-static")


def test_that_all_that_is_offered_can_be_understood_and_leaves_no_format_without_a_method(sample):
    found = inspect_checkpoint(sample)
    known = {method.name: method for method in found.methods}
    for choice in found.choices:
        if choice.problem is None:
            assert choice.method in choice.methods
            assert set(choice.methods) <= set(known)
    for name, method in known.items():
        assert bool(Treatment.of(name).needs) == method.is_calibrated
        assert method.summary.endswith(".")


def test_that_options_are_described_as_they_are_declared_and_their_defaults_can_be_read():
    for method in describe_methods(("gptq", "hqq", "smoothquant", "clipped")):
        declared = {option.name: option for option in method_options(method.name)}
        assert [option.name for option in method.options] == list(declared)
        for option in method.options:
            assert declared[option.name].read(option.default) == declared[option.name].default
            assert option.sentence
            assert option.kind in {"switch", "whole", "number", "numbers"}
        chosen = [(option.name, option.default) for option in method.options]
        assert Treatment.of(method.name, chosen) == Treatment.of(method.name)
