"""Folders of quantized models: as plain ones from here on, or refused in words."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny_models
import torch
from safetensors.torch import load_file, save_file

from app.core.errors import BadModelFile, Unsupported
from app.core.places import sample_model
from app.core.recipe import Recipe
from app.formats import FORMATS
from app.inspection import inspect_checkpoint
from app.models.named_weights import NamedWeights
from app.models.open import open_model
from app.models.quantized import Dequantized, plain
from tests.models.quantized.published import (
    NAME,
    PUBLISHED,
    STEM,
    packed,
    quantization,
    random,
    write_folder,
)

FP8 = quantization("fp8", weight_block_size=[128, 128], activation_scheme="dynamic")


def rewritten_sample(folder: Path, config: dict[str, Any], parts: Any) -> Path:
    """The sample with `parts(name, weight)` in the place of each matrix of its first layer."""
    shutil.copytree(sample_model(), folder)
    stored: dict[str, torch.Tensor] = {}
    for name, weight in load_file(folder / "model.safetensors").items():
        is_matrix = weight.ndim == 2 and ".layers.0." in name
        stored |= parts(name, weight.float()) if is_matrix else {name: weight}
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**settings, **config}))
    return folder


def in_fp8(name: str, weight: torch.Tensor) -> dict[str, torch.Tensor]:
    grid = [-(-length // 128) for length in weight.shape]
    scale = torch.full(grid, 2.0**-8)
    return {name: (weight * 256).to(torch.float8_e4m3fn), f"{name}_scale_inv": scale}


def in_nf4(name: str, weight: torch.Tensor) -> dict[str, torch.Tensor]:
    from bitsandbytes import functional

    codes, state = functional.quantize_4bit(weight, quant_type="nf4", compress_statistics=True)
    parts = state.as_dict(packed=True).items()
    return {name: codes, **{f"{name}.{key}": part.clone() for key, part in parts}}


@pytest.fixture(scope="module")
def fp8_sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rewritten_sample(tmp_path_factory.mktemp("fp8") / "sample", FP8, in_fp8)


def test_that_a_model_in_fp8_has_the_rounded_weights_of_the_plain_one(fp8_sample: Path) -> None:
    weights, original = NamedWeights(open_model(fp8_sample)), NamedWeights(open_model("sample"))
    assert weights.names == original.names
    for name in weights.names:
        expected = original.weight(name)
        if expected.ndim == 2 and ".layers.0." in name:
            expected = (expected * 256).to(torch.float8_e4m3fn).float() / 256
        assert torch.equal(weights.weight(name), expected), name


def test_that_a_model_in_nf4_has_the_names_and_shapes_of_the_plain_one(tmp_path: Path) -> None:
    settings = quantization("bitsandbytes", load_in_4bit=True, bnb_4bit_quant_type="nf4")
    quantized = open_model(rewritten_sample(tmp_path / "sample", settings, in_nf4))
    original = open_model(sample_model())
    shapes = {name: info.shape for name, info in original.tensors.items()}
    assert {name: info.shape for name, info in quantized.tensors.items()} == shapes
    for name in shapes:
        before, after = original.tensor(name).float(), quantized.tensor(name).float()
        assert (before - after).norm() < 0.12 * before.norm(), name


def test_that_a_model_in_fp8_becomes_a_gguf_file_of_the_same_numbers(
    fp8_sample: Path, tmp_path: Path
) -> None:
    plan = tiny_models.convert(fp8_sample, tmp_path / "out.gguf", Recipe("F32"))
    assert any("published in FP8" in note for note in plan.notes)
    source = NamedWeights(open_model(fp8_sample))
    result = NamedWeights(FORMATS["gguf"].open(tmp_path / "out.gguf"))
    assert source.names == result.names
    for name in source.names:
        assert torch.equal(source.weight(name), result.weight(name)), name


def test_that_an_inspection_says_what_a_model_was_published_in(fp8_sample: Path) -> None:
    found = inspect_checkpoint(open_model(fp8_sample))
    sample = inspect_checkpoint(open_model(sample_model()))
    assert found.model.dtype == "FP8"
    assert found.model.weights == sample.model.weights
    assert found.model.nbytes < sample.model.nbytes
    sizes = {choice.preset: choice.nbytes for choice in sample.choices}
    for choice in found.choices:
        told = 0 if choice.extension else 100  # a folder's card tells the size of its source
        assert abs(choice.nbytes - sizes[choice.preset]) <= told
        if not choice.problem:
            assert any("published in FP8" in note for note in choice.notes)


def test_that_a_source_that_has_lost_accuracy_says_so(tmp_path: Path) -> None:
    checkpoint = open_model(PUBLISHED["gptq, 4 bits"]().write(tmp_path))
    assert checkpoint.stored_as == "GPTQ"
    (note,) = checkpoint.notes
    assert "stays lost" in note


def test_that_biases_of_zero_that_autogptq_adds_are_left_out(tmp_path: Path) -> None:
    model = PUBLISHED["gptq, 4 bits"]()
    zeros = open_model(model.write(tmp_path / "0", **{f"{STEM}.bias": torch.zeros(32)}))
    assert set(zeros.tensors) == {NAME, "model.norm.weight"}
    real = open_model(model.write(tmp_path / "1", **{f"{STEM}.bias": torch.ones(32)}))
    assert torch.equal(real.tensor(f"{STEM}.bias"), torch.ones(32))


def test_that_what_belongs_to_activations_is_left_out(tmp_path: Path) -> None:
    model = PUBLISHED["fp8, one scale"]()
    attention = "model.layers.0.self_attn"
    extra = [f"{STEM}.activation_scale", f"{STEM}.input_scale_ub", f"{attention}.k_proj.k_scale"]
    extra += [f"{attention}.kv_scale", f"{attention}.v_zero_point"]
    kept = f"{attention}.layer_scale"
    scales = {name: torch.ones(()) for name in (*extra, kept)}
    found = open_model(model.write(tmp_path, **scales))
    assert set(found.tensors) == {NAME, "model.norm.weight", kept}


def test_that_the_config_is_the_plain_models(tmp_path: Path) -> None:
    model = PUBLISHED["fp8, blocks"]()
    inner = {"hidden_size": 3, **model.config}
    folder = write_folder(tmp_path, {"text_config": inner, **model.config}, model.stored)
    checkpoint = open_model(folder)
    assert checkpoint.config == {"model_type": "llama", "text_config": {"hidden_size": 3}}


def test_that_autoround_borrows_the_layout_of_awq(tmp_path: Path) -> None:
    model = PUBLISHED["awq"]()
    settings = quantization("auto-round", bits=4, packing_format="auto_round:auto_awq")
    checkpoint = open_model(write_folder(tmp_path, settings, model.stored))
    assert checkpoint.stored_as == "AWQ"
    assert torch.equal(checkpoint.tensor(NAME).double(), model.expected)


def test_that_settings_within_the_text_models_config_count(tmp_path: Path) -> None:
    model = PUBLISHED["gptq v2"]()
    folder = write_folder(tmp_path, {"text_config": model.config}, model.stored)
    found = plain(open_model(folder)).tensor(NAME)
    assert torch.equal(found.double(), model.expected)


def test_that_plain_weights_under_an_old_config_are_plain(tmp_path: Path) -> None:
    """Merged adapters keep the settings that they were trained with."""
    settings = quantization("bitsandbytes", load_in_4bit=True)
    checkpoint = open_model(write_folder(tmp_path, settings, {NAME: random(4, 6)}))
    assert torch.equal(checkpoint.tensor(NAME), random(4, 6))
    assert checkpoint.stored_as == "F32"
    assert not checkpoint.notes
    assert "quantization_config" not in checkpoint.config


def test_that_a_plain_model_stays_what_it_is() -> None:
    checkpoint = open_model("sample")
    assert plain(checkpoint) is checkpoint
    assert not isinstance(checkpoint, Dequantized)


def test_that_fp8_numbers_without_scales_anywhere_are_taken_as_they_are(tmp_path: Path) -> None:
    coarse = random(4, 6).to(torch.float8_e4m3fn)
    checkpoint = plain(open_model(write_folder(tmp_path, {}, {NAME: coarse})))
    assert torch.equal(checkpoint.tensor(NAME).float(), coarse.float())


@pytest.mark.parametrize(
    "kind", ["llm.int8()", "nf4", "gptq, 4 bits in order", "mxfp4, gpt-oss", "fp8, blocks"]
)
def test_that_tensors_give_away_what_the_config_does_not_say(kind: str, tmp_path: Path) -> None:
    model = PUBLISHED[kind]()
    found = plain(open_model(write_folder(tmp_path, {}, model.stored))).tensor(model.name)
    torch.testing.assert_close(found.to(model.expected.dtype), model.expected)


@pytest.mark.parametrize("kind", ["mxfp4, gpt-oss", "gptq, 4 bits in order", "fp4, nested"])
def test_that_parts_in_different_files_come_together(kind: str, tmp_path: Path) -> None:
    model = PUBLISHED[kind]()
    model.write(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    for number, (name, part) in enumerate(model.stored.items(), 1):
        file = f"model-{number:05}-of-{len(model.stored):05}.safetensors"
        save_file({name: part.contiguous()}, tmp_path / file)
    found = open_model(tmp_path).tensor(model.name)
    torch.testing.assert_close(found.to(model.expected.dtype), model.expected)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (quantization("aqlm"), "aqlm"),
        (quantization("torchao"), "torchao"),
        (quantization("gptq", checkpoint_format="marlin"), "marlin"),
        (quantization("gptq", is_marlin_format=True), "marlin"),
        (quantization("auto-round", packing_format="auto_round:zp"), "auto_round:zp"),
        (quantization("awq", version="gemv"), "gemv"),
        (quantization("awq", bits=3), "3 bits"),
        (quantization("modelopt", quant_algo="W4A8_AWQ"), "W4A8_AWQ"),
        (quantization("compressed-tensors", format="marlin-24"), "marlin-24"),
        (
            quantization("compressed-tensors", sparsity_config={"format": "sparse-24-bitmask"}),
            "sparse-24-bitmask",
        ),
        (
            quantization(
                "compressed-tensors", transform_config={"config_groups": {"R1": {"type": "x"}}}
            ),
            "rotation",
        ),
        ({"quantization": {"group_size": 16, "bits": 4, "mode": "nvfp4"}}, "nvfp4"),
        ({}, "U32"),
    ],
)
def test_that_other_ways_are_refused_by_name(
    settings: dict[str, Any], words: str, tmp_path: Path
) -> None:
    codes = packed(torch.arange(64).view(2, 32) % 16, 4).view(torch.uint32)
    checkpoint = open_model(write_folder(tmp_path, settings, {NAME: codes}))
    assert checkpoint.stored_as == "U32"  # it can be looked at all the same
    with pytest.raises(Unsupported) as caught:
        plain(checkpoint)
    assert words in caught.value.title
    assert "original" in caught.value.hint
    with pytest.raises(Unsupported) as caught:
        FORMATS["gguf"].prepare(checkpoint)
    assert words in caught.value.title


STATE = f"{NAME}.quant_state.bitsandbytes__nf4"


def text(value: object) -> torch.Tensor:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return torch.frombuffer(bytearray(body), dtype=torch.uint8).clone()


@pytest.mark.parametrize(
    ("kind", "changed"),
    [
        ("nf4", {STATE: text(b"{")}),
        ("nf4", {STATE: text([1])}),
        ("nf4", {STATE: text({"blocksize": 64})}),
        ("nf4", {STATE: text({"blocksize": 64, "shape": [48, "x"]})}),
        ("nf4", {STATE: text({"blocksize": 64, "shape": []})}),
        ("nf4", {STATE: text({"blocksize": 0, "shape": [48, 128]})}),
        ("nf4", {STATE: text({"blocksize": 64, "shape": [48, 256]})}),
        ("nf4", {STATE: text(b" " * 5000)}),
        ("nf4, nested", {STATE: text({"blocksize": 64, "shape": [320, 128]})}),
        ("gptq, 4 bits in order", {f"{STEM}.g_idx": torch.full((192,), 6, dtype=torch.int32)}),
        ("gptq, 4 bits in order", {f"{STEM}.g_idx": torch.full((192,), -1, dtype=torch.int32)}),
        ("gptq, 4 bits in order", {f"{STEM}.weight": torch.ones(32, 192)}),
        ("packed, 4 bits", {f"{NAME}_shape": torch.tensor([64, 999])}),
        ("packed, 4 bits", {f"{NAME}_shape": torch.tensor([65, 160])}),
        ("packed, 4 bits", {f"{NAME}_shape": torch.tensor([64, -1])}),
        ("fp8, blocks", {f"{NAME}_scale_inv": torch.ones(2, 3, dtype=torch.int64)}),
        ("fp8, blocks", {f"{NAME}_scale_inv": torch.ones(5, 3)}),
        ("llm.int8()", {NAME: random(48, 96)}),
        ("mxfp4, packed", {f"{NAME}_scale": random(64, 5)}),
    ],
)
def test_that_parts_that_contradict_each_other_are_refused(
    kind: str, changed: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    folder = PUBLISHED[kind]().write(tmp_path, **changed)
    with pytest.raises(BadModelFile) as caught:
        open_model(folder).tensor(NAME)
    assert STEM in caught.value.title or "config.json" in caught.value.title
    assert caught.value.hint


@pytest.mark.parametrize("block", [[128], [0, 128], "128", [128, 128.5]])
def test_that_a_config_with_an_odd_block_is_refused(block: object, tmp_path: Path) -> None:
    stored = PUBLISHED["fp8, blocks"]().stored
    folder = write_folder(tmp_path, quantization("fp8", weight_block_size=block), stored)
    with pytest.raises(BadModelFile, match="weight_block_size"):
        open_model(folder)
