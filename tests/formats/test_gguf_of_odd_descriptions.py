"""Whatever a model says of itself: a plan, or an error in words."""

from __future__ import annotations

import copy
import json
import shutil

import pytest
import tiny_models
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.core.errors import AppError
from app.core.places import sample_model
from app.core.recipe import Recipe
from app.formats import FORMATS
from app.formats.gguf.header import typed
from app.models.gguf_file import GgufFile
from app.models.named_weights import NamedWeights
from app.models.open import open_model

QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
LEAF = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.integers(-2, 9),
    st.floats(),
    st.text(max_size=6),
    st.sampled_from(["llama3", "yarn", "linear", "default", "ByteLevel", "Sequence", "\ud800"]),
)
VALUE = st.recursive(
    LEAF,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "rope_type", "factor", "id", "content", "single"]), inner
        )
    ),
    max_leaves=5,
)
CONFIG = json.loads((sample_model() / "config.json").read_text())
TOKENIZER = json.loads((sample_model() / "tokenizer.json").read_text(encoding="utf-8"))
KEYS = [*CONFIG, "rope_scaling", "quantization_config", "head_dim", "sliding_window"]
ROPE_KEYS = ["rope_type", "factor", "rope_theta", "low_freq_factor", "high_freq_factor"]
ROPE_KEYS += ["original_max_position_embeddings", "attention_factor", "beta_fast", "type"]
PARTS = ["normalizer", "pre_tokenizer", "post_processor", "added_tokens", "model"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    copied = tmp_path_factory.mktemp("odd") / "model"
    shutil.copytree(sample_model(), copied)
    return copied


def plan_or_words(folder):
    try:
        checkpoint = open_model(folder)
        FORMATS["gguf"].prepare(checkpoint).plan(Recipe("Q4_K_M"))
        NamedWeights(checkpoint)
    except AppError:
        return


@QUICK
@given(key=st.sampled_from(KEYS), value=VALUE)
def test_that_any_value_of_the_config_is_handled(key, value, folder):
    (folder / "config.json").write_text(json.dumps({**CONFIG, key: value}))
    plan_or_words(folder)


@QUICK
@given(rope=st.dictionaries(st.sampled_from(ROPE_KEYS), LEAF | st.sampled_from([1.0, 8.0, 64])))
def test_that_any_rope_parameters_are_handled(rope, folder):
    (folder / "config.json").write_text(json.dumps({**CONFIG, "rope_parameters": rope}))
    plan_or_words(folder)


@QUICK
@given(part=st.sampled_from(PARTS), value=VALUE)
def test_that_any_part_of_the_tokenizer_is_handled(part, value, folder):
    (folder / "config.json").write_text(json.dumps(CONFIG))
    tokenizer = {**TOKENIZER, part: value}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    plan_or_words(folder)
    (folder / "tokenizer.json").write_text(json.dumps(TOKENIZER))


@QUICK
@given(
    key=st.sampled_from(["type", "merges", "vocab", "byte_fallback", "unk_token", "ignore_merges"]),
    value=VALUE,
)
def test_that_any_part_of_the_tokenizers_model_is_handled(key, value, folder):
    (folder / "config.json").write_text(json.dumps(CONFIG))
    tokenizer = copy.copy(TOKENIZER)
    tokenizer["model"] = {**TOKENIZER["model"], key: value}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    plan_or_words(folder)
    (folder / "tokenizer.json").write_text(json.dumps(TOKENIZER))


@QUICK
@given(
    key=st.sampled_from(
        ["bos_token", "eos_token", "add_bos_token", "chat_template", "added_tokens_decoder"]
    ),
    value=VALUE,
)
def test_that_any_setting_of_the_tokenizer_is_handled(key, value, folder):
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "tokenizer_config.json").write_text(json.dumps({key: value}))
    plan_or_words(folder)


NOTES = [
    "general.architecture",
    "general.name",
    "llama.block_count",
    "llama.embedding_length",
    "llama.attention.head_count",
    "llama.attention.head_count_kv",
    "llama.attention.key_length",
    "llama.attention.layer_norm_rms_epsilon",
    "llama.context_length",
    "llama.expert_count",
    "llama.rope.freq_base",
    "llama.rope.scaling.type",
    "llama.rope.scaling.factor",
    "tokenizer.ggml.bos_token_id",
]
NOTE = st.one_of(
    st.booleans(),
    st.integers(0, 9) | st.integers(0, 2**32 - 1),
    st.floats(width=32),
    st.sampled_from(["", "yarn", "linear", "qwen3", "smollm3", "mamba"]),
    st.lists(st.integers(0, 9), min_size=1, max_size=3),
)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    made = tmp_path_factory.mktemp("notes")
    tiny_models.bare_model(made, 4096)
    tiny_models.copy_tokenizer(made)
    tiny_models.convert(made, made / "x.gguf", Recipe("F16"))
    return GgufFile(made / "x.gguf")


@QUICK
@given(key=st.sampled_from(NOTES), value=NOTE)
def test_that_any_note_of_a_gguf_file_is_handled(key, value, file):
    changed = file.path.with_name("changed.gguf")
    metadata = {**file.header.metadata, key: typed(value)}
    tiny_models.rewrite_metadata(file, changed, metadata)
    plan_or_words(changed)
