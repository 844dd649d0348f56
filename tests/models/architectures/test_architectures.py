"""The table of families: consistent in itself and with transformers."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from app.core.errors import BadModelFile, Unsupported
from app.models.architectures import ARCHITECTURES, architecture_of_gguf, find_architecture
from app.models.architectures.base import Dimensions, Pairing
from app.models.architectures.hyperparameters import dimensions_of_config, is_tied
from app.models.architectures.order import halves_to_neighbours, neighbours_to_halves

BY_TITLE = {architecture.title: architecture for architecture in ARCHITECTURES}
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


@pytest.mark.parametrize("title", BY_TITLE)
def test_that_names_and_shapes_are_those_of_transformers(title):
    architecture = BY_TITLE[title]
    config = AutoConfig.for_model(architecture.model_type, **BARE)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    dimensions = dimensions_of_config(architecture, BARE)
    wanted = {name: tuple(weight.shape) for name, weight in model.named_parameters()}
    found = {}
    for rule in architecture.weights:
        for layer in range(dimensions.layers):
            if not rule.optional and not (
                rule.hf == "lm_head.weight" and config.tie_word_embeddings
            ):
                shape = tuple(getattr(dimensions, field) for field in rule.shape)
                found[rule.hf.format(i=layer)] = shape
    assert found == wanted
    assert type(model).__name__ in architecture.classes


@pytest.mark.parametrize("title", BY_TITLE)
def test_that_defaults_are_those_of_transformers(title):
    architecture = BY_TITLE[title]
    config = AutoConfig.for_model(architecture.model_type)
    defaults = architecture.defaults
    silent = {key: getattr(config, key) for key in BARE if not key.startswith("num_key")}
    dimensions = dimensions_of_config(architecture, {**silent, "vocab_size": 96})
    assert dimensions.kv_heads == config.num_key_value_heads
    assert dimensions.head == getattr(config, "head_dim", config.hidden_size // dimensions.heads)
    assert is_tied(architecture, {}) == config.tie_word_embeddings
    for key in ("max_position_embeddings", "rms_norm_eps"):
        assert defaults[key] == getattr(config, key)
    assert defaults["rope_theta"] == config.rope_parameters["rope_theta"]


@pytest.mark.parametrize("title", BY_TITLE)
def test_that_no_two_tensors_share_a_name(title):
    rules = BY_TITLE[title].weights
    assert len({rule.hf for rule in rules}) == len({rule.gguf for rule in rules}) == len(rules)
    for rule in rules:
        assert ("{i}" in rule.hf) == ("{i}" in rule.gguf)
        assert all(hasattr(Dimensions, field) for field in rule.shape)


def test_that_families_are_found_by_class_and_else_by_type():
    for architecture in ARCHITECTURES:
        for name in architecture.classes:
            assert find_architecture({"architectures": [name], "model_type": "x"}) is architecture
        assert find_architecture({"model_type": architecture.model_type}) is architecture
    assert architecture_of_gguf({"general.architecture": "llama"}).title == "Llama"


@pytest.mark.parametrize(
    ("config", "error"),
    [
        ({"architectures": ["X"], "model_type": "llama"}, Unsupported),
        ({"model_type": "mamba"}, Unsupported),
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


@pytest.mark.parametrize("metadata", [{"general.architecture": "mamba"}, {}])
def test_that_gguf_files_of_unknown_families_are_refused(metadata):
    with pytest.raises((Unsupported, BadModelFile)):
        architecture_of_gguf(metadata)


def test_that_rows_of_a_head_go_from_halves_to_neighbours():
    rows = torch.arange(12)  # two heads of six
    assert halves_to_neighbours(rows, 6).tolist() == [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]


@pytest.mark.parametrize("shape", [(24,), (24, 5)])
def test_that_reordering_is_undone_by_its_inverse(shape):
    weight = torch.randn(shape)
    assert torch.equal(neighbours_to_halves(halves_to_neighbours(weight, 8), 8), weight)


def test_that_only_families_with_neighbouring_pairs_mark_heads():
    for architecture in ARCHITECTURES:
        assert (architecture.pairing is Pairing.HALVES) == (architecture.gguf.startswith("qwen"))
