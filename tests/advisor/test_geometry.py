"""What each layer keeps, against published figures and hand-counted layers."""

import families
import pytest
from transformers import AutoConfig

from app.advisor.memory import cache_bytes
from app.core.fit import FitOptions
from app.models.architectures import find_architecture, language_model
from app.models.cache import (
    FAMILIES,
    CannotSize,
    geometry_of_config,
    geometry_of_notes,
    notes_of_config,
)

KIB, GIB = 1 << 10, 1 << 30


def cache(config, context, cache_type="f16"):
    options = FitOptions(context, cache_type)
    return sum(cache_bytes(layer, options) for layer in geometry_of_config(config).layers)


def of(name, **changes):
    return {**families.CONFIGS[name], **changes}


def test_that_llama_8b_keeps_128_kib_a_token():
    whole = of("Llama 3.1 8B", num_hidden_layers=32)
    assert cache(whole, 131072) == 16 * GIB
    assert cache(whole, 131072, "q8_0") == 16 * GIB * 34 // 64


def test_that_deepseek_keeps_the_compressed_keys_alone():
    # DeepSeek-V3's report, arXiv:2412.19437: 512 + 64 numbers in each of 61 layers, 70 kB a token.
    whole = of("DeepSeek-V3", num_hidden_layers=61)
    assert cache(whole, 1024) == 61 * 576 * 2 * 1024


def test_that_a_window_stops_the_cache_from_growing():
    inner = dict(families.CONFIGS["Gemma 3 12B"]["text_config"], num_hidden_layers=48)
    config = {"model_type": "gemma3", "text_config": inner}
    layers = geometry_of_config(config).layers
    assert [layer.window for layer in layers[:6]] == [1024] * 5 + [0]
    full = 8 * (8 * 256 + 8 * 256) * 2  # of 48 layers, every sixth
    grown = cache(config, 65536) - cache(config, 32768)
    assert grown == full * 32768


def test_that_the_last_layers_of_gemma_3n_read_the_caches_of_earlier_ones():
    layers = geometry_of_config(families.CONFIGS["Gemma 3n E4B"]).layers
    assert [bool(layer.keys) for layer in layers] == [True] * 20 + [False] * 15


def test_that_hybrids_keep_a_state_where_they_have_no_keys():
    layers = geometry_of_config(families.CONFIGS["Granite 4.0 H Tiny"]).layers
    assert [bool(layer.keys) for layer in layers] == [index == 5 for index in range(10)]
    assert [bool(layer.state) for layer in layers] == [index != 5 for index in range(10)]
    both = geometry_of_config(families.CONFIGS["Falcon-H1 7B"]).layers
    assert all(layer.keys and layer.state for layer in both)
    narrow = geometry_of_config(families.CONFIGS["Nemotron Nano 9B v2"]).layers
    pattern = "".join("M" if each.state else "*" if each.keys else "-" for each in narrow)
    assert pattern == families.CONFIGS["Nemotron Nano 9B v2"]["hybrid_override_pattern"]


def test_that_a_window_that_llama_cpp_ignores_is_ignored():
    assert {layer.window for layer in geometry_of_config(of("Mistral 7B")).layers} == {0}
    assert {layer.window for layer in geometry_of_config(of("Phi-4-mini")).layers} == {0}


def test_that_layers_for_guessing_ahead_are_counted_where_they_have_a_cache():
    notes = notes_of_config(of("GLM-4.5-Air"))
    spare = {**notes, "glm4moe.nextn_predict_layers": 1, "glm4moe.block_count": 6}
    layers = geometry_of_notes(spare).layers
    assert len(layers) == 6
    assert all(layer.keys for layer in layers)
    notes = notes_of_config(of("Qwen3-Next 80B-A3B"))
    count = notes["qwen3next.block_count"] + 1
    recurrent = (*notes["qwen3next.attention.recurrent_layers"], False)
    spare = {**notes, "qwen3next.nextn_predict_layers": 1, "qwen3next.block_count": count}
    layers = geometry_of_notes({**spare, "qwen3next.attention.recurrent_layers": recurrent}).layers
    assert layers[-1].keys == layers[-1].state == 0


def test_that_layers_for_guessing_ahead_are_not_counted_where_they_are_left_out():
    assert len(geometry_of_config(of("GLM-4.5-Air", num_nextn_predict_layers=1)).layers) == 5


@pytest.mark.parametrize("model_type", ["gemma3_text", "gemma3n_text", "mistral"])
def test_that_what_a_nested_config_leaves_out_is_what_transformers_assumes(model_type):
    assumed = AutoConfig.for_model(model_type).to_dict()
    for key, value in find_architecture({"model_type": model_type}).unsaid.items():
        wanted = assumed[key]
        assert value == (wanted[0] if isinstance(wanted, list) else wanted), key
    # the whole text part that google/gemma-3-4b-it states
    inner = {
        "model_type": "gemma3_text",
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "num_hidden_layers": 34,
        "sliding_window": 1024,
    }
    layers = geometry_of_config({"model_type": "gemma3", "text_config": inner}).layers
    assert {layer.keys for layer in layers} == {4 * 256}
    assert [index for index, layer in enumerate(layers) if not layer.window] == [5, 11, 17, 23, 29]


def test_that_a_hybrid_that_does_not_say_its_layers_is_not_sized():
    config = of("LFM2 1.2B")
    del config["layer_types"]
    with pytest.raises(CannotSize, match="layer_types"):
        geometry_of_config(config)
    listed = geometry_of_config({**config, "full_attn_idxs": [2, 6, 10, 14]})
    assert listed == geometry_of_config(of("LFM2 1.2B"))


@pytest.mark.parametrize("config", [{"model_type": "llama9"}, {}, {"model_type": ["llama"]}])
def test_that_an_unknown_family_is_said_to_be_unknown(config):
    with pytest.raises(CannotSize, match=r"not supported|does not say"):
        geometry_of_config(config)


@pytest.mark.parametrize(
    "damage",
    [
        {"hidden_size": "wide"},
        {"hidden_size": None},
        {"num_hidden_layers": 10**9},
        {"num_hidden_layers": 0},
        {"num_attention_heads": -3},
        {"vocab_size": 10**30},
        {"head_dim": 2.5},
    ],
)
def test_that_damaged_numbers_are_no_ground_for_a_guess(damage):
    with pytest.raises(CannotSize):
        geometry_of_config(of("Llama 3.1 8B", **damage))


@pytest.mark.parametrize(
    "damage",
    [
        {"llama.attention.head_count_kv": (8, "x")},
        {"llama.attention.head_count_kv": (8, -1)},
        {"llama.block_count": None},
        {"llama.vocab_size": True},
    ],
)
def test_that_damaged_notes_are_no_ground_for_a_guess(damage):
    notes = {
        "general.architecture": "llama",
        "llama.block_count": 2,
        "llama.embedding_length": 64,
        "llama.attention.head_count": 8,
        "llama.vocab_size": 100,
    }
    assert geometry_of_notes(notes).layers[0].keys == 64
    with pytest.raises(CannotSize):
        geometry_of_notes({**notes, **damage})


def test_that_every_kind_that_is_measured_is_a_family_of_its_own():
    measured = {language_model(config)[0].gguf for config in families.CONFIGS.values()}
    assert len(measured) >= 25
    assert {family for family in FAMILIES.values() if family.window} >= {
        FAMILIES[name] for name in ("gemma2", "gemma3", "gemma3n", "cohere2", "gpt-oss", "olmo2")
    }
