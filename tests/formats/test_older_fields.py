"""Configs of transformers 5 and of 4 mean the same to programs that know the older fields."""

import pytest
from transformers import AutoConfig

from app.formats.safetensors.older_fields import with_older_fields


def saved(kind, **fields):
    """What transformers writes into config.json."""
    config = AutoConfig.for_model(kind, num_hidden_layers=2, **fields).to_diff_dict()
    return {**config, "model_type": kind}


def test_that_positions_are_turned_by_the_same_angles():
    config = saved("qwen2", rope_parameters={"rope_type": "default", "rope_theta": 12345.0})
    assert "rope_theta" not in config
    found = with_older_fields(config)
    assert found["rope_theta"] == 12345.0
    assert "rope_scaling" not in found
    assert {name: found[name] for name in config} == config


def test_that_scaled_positions_keep_their_scaling():
    yarn = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0}
    found = with_older_fields({"rope_parameters": yarn})
    assert found["rope_scaling"] == {"rope_type": "yarn", "type": "yarn", "factor": 4.0}
    assert found["rope_theta"] == 1e4


def test_that_layers_with_a_window_have_their_own_base():
    angles = {
        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
        "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
    }
    found = with_older_fields({"text_config": {"rope_parameters": angles}})["text_config"]
    assert (found["rope_theta"], found["rope_local_base_freq"]) == (1e6, 1e4)
    assert found["rope_scaling"]["factor"] == 8.0


def test_that_experts_are_counted_under_both_names():
    found = with_older_fields(saved("qwen3_moe", num_experts=5))
    assert found["num_experts"] == found["num_local_experts"] == 5


@pytest.mark.parametrize(
    "config",
    [
        {"rope_theta": 5.0, "rope_parameters": {"rope_theta": 5.0}, "num_experts": 3},
        {"model_type": "gpt2"},
        {"rope_parameters": None},
    ],
)
def test_that_what_is_there_stays(config):
    found = with_older_fields(config)
    assert {name: found[name] for name in config} == config
