"""Models that see: llama.cpp makes of a picture what transformers makes of it."""

from __future__ import annotations

import json

import mtmd
import numpy as np
import pytest
import seeing_models
import tiny_models
import torch
from safetensors.torch import load_file, save_file

from app.commands import program
from app.core.errors import AppError, Unsupported
from app.core.recipe import Recipe
from app.formats.gguf.mmproj import vision_conversion
from app.models.gguf_file import GgufFile
from app.models.open import open_model

real = pytest.mark.skipif(not mtmd.is_available(), reason="no library for pictures here")
SLOW = {"llava", "smolvlm"}
"""Their files differ little from those of others."""
TOLERANCE = {"lfm2_vl": 1e-2}
"""llama.cpp looks GELU up in a table of half precision numbers; LFM2's projector does so, too."""


@pytest.fixture(scope="session")
def language_model(tmp_path_factory):
    """Makes a GGUF file of a language model of some width; at most once."""
    made = {}

    def make(width):
        if width not in made:
            folder = tmp_path_factory.mktemp("language")
            sizes = {"num_hidden_layers": 1, "intermediate_size": 64, "num_attention_heads": 4}
            tiny_models.random_model(folder, model_type="llama", hidden_size=width, **sizes)
            tiny_models.convert(folder, folder / "model.gguf", Recipe("F32"))
            made[width] = folder / "model.gguf"
        return made[width]

    return make


def to_gguf(folder, target, form="F32"):
    return program.run(["mmproj", str(folder), "--out", str(target), "--format", form])


def relative_error(found, wanted):
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def without_row_ends(kind, tokens, wanted):
    """Pixtral's rows of patches without the token behind all but the last."""
    if kind not in {"mistral3", "llava"}:
        return tokens
    row = round(len(wanted) ** 0.5) + 1
    return np.delete(tokens, np.arange(row - 1, len(tokens), row), 0)


@real
@pytest.mark.parametrize(
    "kind",
    [pytest.param(k, marks=pytest.mark.slow) if k in SLOW else k for k in seeing_models.MODELS],
)
def test_that_llama_cpp_sees_what_transformers_sees(kind, language_model, tmp_path):
    model = seeing_models.random_seeing_model(tmp_path, kind)
    assert to_gguf(tmp_path, tmp_path / "mmproj.gguf") == 0
    text = language_model(seeing_models.MODELS[kind].width)
    tiles = mtmd.embeddings(tmp_path / "mmproj.gguf", text, seeing_models.picture(kind))
    wanted = seeing_models.seen(model, kind)
    assert tiles
    for tile in tiles:  # of a picture of this size, all show the whole of it
        found = without_row_ends(kind, tile, wanted)
        assert relative_error(found, wanted) < TOLERANCE.get(kind, 5e-3)


@real
def test_that_the_token_between_rows_is_the_tokenizers(language_model, tmp_path):
    model = seeing_models.random_seeing_model(tmp_path, "mistral3")
    to_gguf(tmp_path, tmp_path / "mmproj.gguf")
    picture = seeing_models.picture("mistral3")
    (tokens,) = mtmd.embeddings(tmp_path / "mmproj.gguf", language_model(64), picture)
    wanted = model.get_input_embeddings().weight[seeing_models.ROW_END].detach().numpy()
    assert np.allclose(tokens[4], wanted)  # 4 tokens a row


@real
@pytest.mark.parametrize(("form", "tolerance"), [("F16", 1e-2), ("BF16", 5e-2), ("Q8_0", 5e-2)])
def test_that_smaller_formats_see_nearly_the_same(form, tolerance, language_model, tmp_path):
    model = seeing_models.random_seeing_model(tmp_path, "gemma3")
    assert to_gguf(tmp_path, tmp_path / "mmproj.gguf", form) == 0
    assert GgufFile(tmp_path / "mmproj.gguf").tensors["v.blk.0.attn_q.weight"].dtype == form
    picture = seeing_models.picture("gemma3")
    (found,) = mtmd.embeddings(tmp_path / "mmproj.gguf", language_model(64), picture)
    assert relative_error(found, seeing_models.seen(model, "gemma3")) < tolerance


def test_that_older_names_of_tensors_are_the_same_tensors(tmp_path):
    for name in ("new", "old"):
        seeing_models.random_seeing_model(tmp_path / name, "gemma3")
    weights = load_file(tmp_path / "old" / "model.safetensors")
    renamed = {
        name.replace("vision_tower.", "model.vision_tower.vision_model."): tensor
        for name, tensor in weights.items()
    }
    save_file(renamed, tmp_path / "old" / "model.safetensors")
    for name in ("new", "old"):
        assert to_gguf(tmp_path / name, tmp_path / f"{name}.gguf") == 0
    new, old = GgufFile(tmp_path / "new.gguf"), GgufFile(tmp_path / "old.gguf")
    assert new.tensors.keys() == old.tensors.keys()
    assert all(torch.equal(new.tensor(name), old.tensor(name)) for name in new.tensors)


def published(folder):
    """Give InternVL's tensors the names of its makers, queries, keys and values in one matrix."""
    weights = load_file(folder / "model.safetensors")
    found = {name: tensor for name, tensor in weights.items() if name.startswith("language_model")}
    tower, theirs = "vision_tower.embeddings.", "vision_model.embeddings."
    found[theirs + "class_embedding"] = weights[tower + "cls_token"]
    found[theirs + "position_embedding"] = weights[tower + "position_embeddings"]
    for end in ("weight", "bias"):
        patches = f"{tower}patch_embeddings.projection.{end}"
        found[f"{theirs}patch_embedding.{end}"] = weights[patches]
        for number, name in ((0, "layer_norm"), (1, "linear_1"), (3, "linear_2")):
            found[f"mlp1.{number}.{end}"] = weights[f"multi_modal_projector.{name}.{end}"]
    for layer in range(2):
        ours, theirs = (
            f"vision_tower.encoder.layer.{layer}.",
            f"vision_model.encoder.layers.{layer}.",
        )
        parts = [weights[f"{ours}attention.{kind}_proj.weight"] for kind in "qkv"]
        found[theirs + "attn.qkv.weight"] = torch.cat(parts)
        for number in (1, 2):
            found[f"{theirs}ls{number}"] = weights[f"{ours}lambda_{number}"]
        for end in ("weight", "bias"):
            for new, old in (
                ("norm1", "layernorm_before"),
                ("norm2", "layernorm_after"),
                ("attn.proj", "attention.projection_layer"),
                ("mlp.fc1", "mlp.fc1"),
                ("mlp.fc2", "mlp.fc2"),
            ):
                found[f"{theirs}{new}.{end}"] = weights[f"{ours}{old}.{end}"]
    save_file(found, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "internvl_chat", "llm_config": config.pop("text_config")}
    config |= {"min_dynamic_patch": 2, "max_dynamic_patch": 6}
    (folder / "config.json").write_text(json.dumps(config))


def test_that_internvl_of_its_makers_is_the_internvl_of_transformers(tmp_path):
    for name in ("transformers", "makers"):
        seeing_models.random_seeing_model(tmp_path / name, "internvl")
    published(tmp_path / "makers")
    for name in ("transformers", "makers"):
        assert to_gguf(tmp_path / name, tmp_path / f"{name}.gguf") == 0
    one, other = (GgufFile(tmp_path / f"{name}.gguf") for name in ("transformers", "makers"))
    assert one.tensors.keys() == other.tensors.keys()
    assert all(torch.equal(one.tensor(name), other.tensor(name)) for name in one.tensors)
    assert other.header.metadata["clip.vision.preproc_max_tiles"].value == 6


def test_that_colours_are_prepared_as_the_folder_says(tmp_path):
    seeing_models.random_seeing_model(tmp_path, "gemma3")
    usual = vision_conversion(open_model(tmp_path)).plan(Recipe("F16"))
    assert any("preprocessor_config.json" in note for note in usual.notes)
    stated = {"image_mean": [0.1, 0.2, 0.3], "image_std": [1, 2, 3]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(stated))
    assert to_gguf(tmp_path, tmp_path / "mmproj.gguf", "F16") == 0
    metadata = GgufFile(tmp_path / "mmproj.gguf").header.metadata
    assert metadata["clip.vision.image_mean"].value == pytest.approx([0.1, 0.2, 0.3])
    assert metadata["clip.vision.image_std"].value == pytest.approx([1, 2, 3])


def change_config(folder, **vision):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["vision_config"] |= vision
    path.write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("kind", "change", "words"),
    [
        ("gemma3", {"hidden_act": "relu"}, "computes relu"),
        ("gemma3", {"num_hidden_layers": 1}, "does not have: vision_tower.encoder.layers.1"),
        ("gemma3", {"num_hidden_layers": 3}, "has no tensor vision_tower.encoder.layers.2"),
        ("gemma3", {"patch_size": 16}, "has the shape"),
        ("gemma3", {"num_attention_heads": 3}, "cannot share"),
        ("qwen2_5_vl", {"window_size": 64}, "windows of 64"),
        ("qwen2_5_vl", {"fullatt_block_indexes": [0, 3]}, "evenly spread"),
        ("qwen3_vl", {"deepstack_visual_indexes": [9]}, "layers that there are not"),
        ("qwen3_vl", {"spatial_merge_size": 3}, "spatial_merge_size of 3"),
        ("mistral3", {"head_dim": 8}, "attention over pictures"),
        ("internvl", {"norm_type": "rms_norm"}, "norm"),
    ],
)
def test_that_what_llama_cpp_cannot_do_is_refused_with_the_reason(kind, change, words, tmp_path):
    seeing_models.random_seeing_model(tmp_path, kind)
    change_config(tmp_path, **change)
    with pytest.raises(AppError, match=words):
        vision_conversion(open_model(tmp_path))


def test_that_a_model_that_does_not_see_says_so(tmp_path):
    tiny_models.empty_model(tmp_path, model_type="llama", architectures=["LlamaForCausalLM"])
    with pytest.raises(Unsupported, match="does not see"):
        vision_conversion(open_model(tmp_path))
    with pytest.raises(Unsupported, match="does not see"):
        vision_conversion(open_model("sample"))


def test_that_a_gguf_file_is_refused(tmp_path):
    tiny_models.bare_model(tmp_path, 4096)
    tiny_models.copy_tokenizer(tmp_path)
    tiny_models.convert(tmp_path, tmp_path / "model.gguf", Recipe("F32"))
    with pytest.raises(Unsupported, match="holds no part that sees"):
        vision_conversion(open_model(tmp_path / "model.gguf"))
