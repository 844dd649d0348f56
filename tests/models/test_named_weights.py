"""A GGUF file read back as transformers would load it."""

from __future__ import annotations

import json

import pytest
import tiny_models
import torch

from app.core.errors import BadModelFile
from app.core.recipe import Recipe
from app.models.named_weights import NamedWeights
from app.models.open import open_model

TOKENS = torch.arange(4, 100)[None]


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_that_a_model_rebuilt_from_gguf_alone_computes_the_same(family, tmp_path):
    from transformers import AutoConfig, AutoModelForCausalLM

    settings = {**tiny_models.FAMILIES[family], "vocab_size": 4096, "hidden_size": 128}
    if "head_dim" not in settings:
        settings |= {"num_attention_heads": 4}
    model = tiny_models.random_model(tmp_path, **{**settings, "intermediate_size": 96})
    tiny_models.convert(tmp_path, tmp_path / "x.gguf", Recipe("F32"))
    weights = NamedWeights(open_model(tmp_path / "x.gguf"))
    json.dumps(weights.config)  # plain values only

    state = model.state_dict()
    wanted = {name for name in state if name != "lm_head.weight" or not tied(model)}
    assert set(weights.names) == wanted
    for name in weights.names:
        assert torch.equal(weights.weight(name), state[name]), name

    rebuilt = AutoModelForCausalLM.from_config(AutoConfig.for_model(**weights.config)).eval()
    rebuilt.load_state_dict({n: weights.weight(n) for n in weights.names}, strict=not tied(model))
    rebuilt.tie_weights()
    with torch.no_grad():
        found, logits = rebuilt(TOKENS).logits, model(TOKENS).logits
    assert torch.linalg.norm(found - logits) / torch.linalg.norm(logits) < 1e-5


def tied(model):
    return model.config.tie_word_embeddings


def test_that_a_folder_gives_its_own_weights_in_float32(tmp_path):
    model = tiny_models.random_model(tmp_path, model_type="qwen2", num_hidden_layers=1)
    model.to(torch.bfloat16).save_pretrained(tmp_path)
    weights = NamedWeights(open_model(tmp_path))
    for name, weight in model.state_dict().items():
        assert torch.equal(weights.weight(name), weight.to(torch.float32))
    with pytest.raises(KeyError):
        weights.weight("model.layers.9.mlp.up_proj.weight")


def test_that_a_missing_tensor_is_named(tmp_path):
    tiny_models.bare_model(tmp_path, 40)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))
    with pytest.raises(BadModelFile, match=r"lm_head\.weight"):
        NamedWeights(open_model(tmp_path))
