"""The table of families: consistent in itself and with transformers."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from app.core.errors import BadModelFile, Unsupported
from app.models.architectures import ARCHITECTURES, architecture_of_gguf, find_architecture
from app.models.architectures.base import text_part
from app.models.architectures.decoder import Decoder

BY_TITLE = {architecture.title: architecture for architecture in ARCHITECTURES}
PLAIN = {title: found for title, found in BY_TITLE.items() if type(found).__base__ is Decoder}
BARE = {
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": None,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


@pytest.mark.parametrize("title", ["Llama", "Mistral", "Qwen2", "Qwen3", "SmolLM3"])
def test_that_names_and_shapes_are_those_of_transformers(title):
    architecture = BY_TITLE[title]
    config = AutoConfig.for_model(architecture.model_types[0], **BARE)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    wanted = {name: tuple(weight.shape) for name, weight in model.named_parameters()}
    found = {
        source.name: source.shape
        for weight in architecture.weights(BARE, ())
        for source in weight.sources
        if not weight.optional
    }
    assert found == wanted
    assert type(model).__name__ in architecture.classes


@pytest.mark.parametrize("title", ["Llama", "Mistral", "Qwen2", "Qwen3", "SmolLM3"])
def test_that_defaults_are_those_of_transformers(title):
    architecture = BY_TITLE[title]
    config = AutoConfig.for_model(architecture.model_types[0])
    defaults = architecture.defaults
    silent = {key: getattr(config, key) for key in BARE if not key.startswith("num_key")}
    dimensions = architecture.dimensions({**silent, "vocab_size": 96})
    assert dimensions.kv_heads == config.num_key_value_heads
    assert dimensions.head == getattr(config, "head_dim", config.hidden_size // dimensions.heads)
    assert architecture.is_tied({}) == config.tie_word_embeddings
    for key in ("max_position_embeddings", "rms_norm_eps"):
        assert defaults[key] == getattr(config, key)
    assert defaults["rope_theta"] == config.rope_parameters["rope_theta"]


def test_that_no_two_families_claim_a_class_or_a_type():
    classes = [name for architecture in ARCHITECTURES for name in architecture.classes]
    assert len(set(classes)) == len(classes)
    types = [name for architecture in ARCHITECTURES for name in architecture.model_types]
    assert len(set(types)) == len(types)


def test_that_families_are_found_by_class_and_else_by_type():
    for architecture in ARCHITECTURES:
        for name in architecture.classes:
            assert find_architecture({"architectures": [name], "model_type": "x"}) is architecture
        for name in architecture.model_types:
            assert find_architecture({"model_type": name}) is architecture
    assert architecture_of_gguf({"general.architecture": "llama"}).title == "Llama"


@pytest.mark.parametrize(
    ("config", "error"),
    [
        ({"architectures": ["X"], "model_type": "llama"}, Unsupported),
        ({"model_type": "unheard_of"}, Unsupported),
        ({}, BadModelFile),
        ({"architectures": "LlamaForCausalLM"}, BadModelFile),
        ({"architectures": [5], "model_type": 7}, BadModelFile),
    ],
)
def test_that_unknown_families_are_refused_with_a_list_of_known_ones(config, error):
    with pytest.raises(error) as caught:
        find_architecture(config)
    if error is Unsupported:
        assert all(title in caught.value.hint for title in BY_TITLE)


@pytest.mark.parametrize("metadata", [{"general.architecture": "unheard_of"}, {}])
def test_that_gguf_files_of_unknown_families_are_refused(metadata):
    with pytest.raises((Unsupported, BadModelFile)):
        architecture_of_gguf(metadata)


@pytest.mark.parametrize(
    ("stored", "plain"),
    [
        ("model.layers.0.x", "model.layers.0.x"),
        ("model.language_model.layers.0.x", "model.layers.0.x"),
        ("language_model.model.layers.0.x", "model.layers.0.x"),
        ("language_model.layers.0.x", "model.layers.0.x"),
        ("layers.0.x", "model.layers.0.x"),
    ],
)
def test_that_tensors_are_found_however_a_model_that_sees_spells_them(stored, plain):
    llama = BY_TITLE["Llama"]
    names = [stored, "vision_tower.layers.0.x", "model.visual.blocks.1.y"]
    assert llama.stored_names(names, {}) == {plain: stored}


def test_that_the_language_model_s_part_of_a_config_is_taken():
    config = {"architectures": ["X"], "text_config": {"hidden_size": 8}, "vision_config": {"a": 1}}
    inner = {"architectures": ["X"], "hidden_size": 8, "vision_config": {"a": 1}}
    assert text_part(config) == inner
    assert text_part({"hidden_size": 8}) == {"hidden_size": 8}
