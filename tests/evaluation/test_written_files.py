"""From a folder on disk to a GGUF file on disk, and back through everything that measures."""

import pytest
from random_models import drain
from tiny_models import convert, random_model

from app.core.recipe import Recipe
from app.evaluation.comparison import compare
from app.evaluation.tensor_error import measure_tensors
from app.evaluation.text import cut_windows
from app.evaluation.tokenizer import open_tokenizer
from app.formats import FORMATS
from app.models import open_model
from app.models.named_weights import NamedWeights

PRESETS = ("F32", "F16", "Q8_0", "Q4_K_M")


@pytest.fixture(scope="module", params=["llama", "qwen3"])
def folder(request, tmp_path_factory):
    path = tmp_path_factory.mktemp(request.param)
    random_model(path, model_type=request.param)
    return path


@pytest.fixture(scope="module")
def results(folder):
    for preset in PRESETS:
        convert(folder, folder / f"{preset}.gguf", Recipe(preset))
    return {preset: folder / f"{preset}.gguf" for preset in PRESETS}


def quality(source, result, tokens=128):
    windows = cut_windows(open_tokenizer(source), tokens=tokens, context=64)
    return drain(compare(NamedWeights(source), NamedWeights(result), windows))[1]


def test_that_a_file_of_32_bits_is_the_model_itself(folder, results):
    found = quality(open_model(folder), open_model(results["F32"]))
    assert found.kl_mean < 1e-6
    assert found.perplexity_after == pytest.approx(found.perplexity_before, rel=1e-5)


def test_that_fewer_bits_mean_more_divergence(folder, results):
    source = open_model(folder)
    found = [quality(source, open_model(results[preset])).kl_mean for preset in PRESETS]
    assert found == sorted(found)
    assert found[-1] > 10 * found[-2] > 0


def test_that_a_file_can_be_measured_without_its_folder(folder, results):
    result = open_model(results["Q4_K_M"])
    expected = quality(open_model(folder), result)
    found = quality(open_model(results["F32"]), result)
    assert found.tokens == expected.tokens
    assert found.kl_mean == pytest.approx(expected.kl_mean, rel=1e-3)


@pytest.mark.parametrize(("preset", "most"), [("F32", 0), ("Q8_0", 0.01), ("Q4_K_M", 0.12)])
def test_that_every_tensor_is_near_its_source(folder, results, preset, most):
    conversion = FORMATS["gguf"].prepare(open_model(folder))
    plan = conversion.plan(Recipe(preset))
    _, rows = drain(measure_tensors(conversion, plan, open_model(results[preset]), 2))
    assert len(rows) == len(plan.tensors)
    matrices = [row for row in rows if len(row.shape) > 1]
    assert max(row.error for row in matrices) <= most
    assert min(row.error for row in matrices) >= most / 20
