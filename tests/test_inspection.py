import pytest

from app.advisor import fits_of, plans_of
from app.core.fit import FitOptions, FitWord
from app.core.machine import Cpu, Machine, Space
from app.core.model import Inspection
from app.core.places import sample_model
from app.core.recipe import Recipe
from app.encodings import ENCODINGS
from app.formats import FORMATS
from app.inspection import inspect_model
from app.models import open_model


@pytest.fixture(scope="module")
def quantized(tmp_path_factory):
    """The sample as a Q4_K_M file: a header, and a hole where the weights would be."""
    path = tmp_path_factory.mktemp("quantized") / "sample-Q4_K_M.gguf"
    plan = FORMATS["gguf"].prepare(open_model(sample_model())).plan(Recipe("Q4_K_M"))
    with path.open("wb") as file:
        file.write(plan.header)
        file.truncate(plan.total_bytes)
    return path


def test_that_every_preset_is_a_choice_with_its_size_class_and_types_are_listed():
    found = inspect_model(sample_model())
    assert len(found.choices) == sum(len(form.presets) for form in FORMATS.values())
    assert all(choice.group and not choice.requantize for choice in found.choices)
    assert [row.preset for row in found.choices if not row.nbytes] == ["gpt-oss-mxfp4"]
    assert found.types[0] == "F32"
    assert set(found.types) <= set(ENCODINGS)
    assert {"Q4_K", "IQ2_XXS"} < set(found.types)
    assert Inspection.from_json(found.to_json()) == found


def test_that_a_quantized_file_can_become_smaller_and_says_that_it_loses_twice(quantized):
    choices = {choice.preset: choice for choice in inspect_model(quantized).choices}
    smaller = choices["Q3_K_M"]
    assert smaller.problem is None
    assert smaller.requantize
    assert "lost twice" in smaller.notes[0]


def test_that_a_quantized_file_has_fits_for_what_it_can_become(quantized):
    checkpoint = open_model(quantized)
    machine = Machine(Cpu("a processor", 8, 16), Space("Memory", 16 * 10**9, 12 * 10**9), (), ())
    plans = plans_of(checkpoint)
    fits = fits_of(checkpoint, machine, FitOptions(context=512), plans=plans)
    assert fits["Q3_K_M"].word is FitWord.MEMORY
