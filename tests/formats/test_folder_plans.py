"""What folders will hold, known before any work: places, sizes, config and what stays as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_models import MIXTURE, empty_model, stacked_mixture

from app.core.errors import Unsupported
from app.core.places import sample_model
from app.core.plan import Plan
from app.core.recipe import Recipe
from app.formats import FORMATS
from app.formats.safetensors.schemes import SCHEMES
from app.models import open_model
from app.models.safetensors_folder import SafetensorsFolder

FOLDERS = FORMATS["safetensors"]
GENERAL = [name for name, scheme in SCHEMES.items() if not scheme.families]
GPT_OSS = {
    "model_type": "gpt_oss",
    "head_dim": 64,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
}


def plan_of(folder: Path, preset: str, **wishes: Any) -> Plan:
    return FOLDERS.prepare(open_model(folder)).plan(Recipe(preset, **wishes))


def written(plan: Plan, folder: Path) -> Path:
    """The folder of a plan: headers, and holes where the weights would be."""
    folder.mkdir()
    for file in plan.files:
        with (folder / file.name).open("wb") as out:
            out.write(file.header)
            out.truncate(file.nbytes)
    return folder


def config_of(plan: Plan) -> dict[str, Any]:
    return json.loads(content(plan, "config.json"))


def content(plan: Plan, name: str) -> bytes:
    return next(file.header for file in plan.files if file.name == name)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Models without weights."""
    found = {}
    for name, config in {
        "llama": {"model_type": "llama"},
        "narrow": {"model_type": "llama", "hidden_size": 192, "num_attention_heads": 6},
        "mixture": MIXTURE,
        "gpt-oss": GPT_OSS,
    }.items():
        found[name] = tmp_path_factory.mktemp(name)
        empty_model(found[name], **config)
    return found


@pytest.mark.parametrize("preset", GENERAL)
@pytest.mark.parametrize("model", ["llama", "mixture"])
def test_that_files_are_sound_and_every_number_is_aligned(
    models: dict[str, Path], model: str, preset: str, tmp_path: Path
) -> None:
    from safetensors import deserialize

    plan = plan_of(models[model], preset)
    folder = written(plan, tmp_path / "out")
    opened = SafetensorsFolder(folder)  # checks that tensors follow each other without a gap
    assert sum(tensor.nbytes for tensor in plan.tensors) == opened.nbytes
    for name, (source, offset) in opened._places.items():
        size = opened.tensors[name].nbytes // max(1, opened.tensors[name].weights)
        assert offset % size == 0, (source.path.name, name)
    (path,) = folder.glob("*.safetensors")
    assert {name for name, _ in deserialize(path.read_bytes())} == set(opened.tensors)
    assert plan.total_bytes == sum(path.stat().st_size for path in folder.iterdir())


@pytest.mark.parametrize("preset", ["w4a16-g128", "bnb-nf4", "fp8", "mlx-4bit", "f16-folder"])
def test_that_several_files_have_an_index(models: dict[str, Path], preset: str, tmp_path: Path):
    plan = plan_of(models["llama"], preset, split_bytes=1_000_000)
    folder = written(plan, tmp_path / "out")
    names = [file.name for file in plan.files if file.name.endswith(".safetensors")]
    assert len(names) > 2
    assert names[-1] == f"model-{len(names):05}-of-{len(names):05}.safetensors"
    index = json.loads(content(plan, "model.safetensors.index.json"))
    opened = SafetensorsFolder(folder)  # holds every file against the index
    assert index["metadata"]["total_size"] == opened.nbytes
    assert set(index["weight_map"]) == set(opened.tensors)
    large = [file for file in plan.files if file.nbytes > 1_100_000]
    for file in large:  # one tensor alone
        assert list(index["weight_map"].values()).count(file.name) <= 5
    together = plan_of(models["llama"], preset)
    parts = sorted((tensor.name, tensor.encoding, tensor.nbytes) for tensor in plan.tensors)
    assert parts == sorted((one.name, one.encoding, one.nbytes) for one in together.tensors)


def test_that_config_is_the_sources_with_one_field_more(models: dict[str, Path]) -> None:
    before = json.loads((models["llama"] / "config.json").read_text())
    for preset in GENERAL:
        after = config_of(plan_of(models["llama"], preset))
        added = {"quantization_config", "quantization"} & after.keys()
        assert len(added) == bool(SCHEMES[preset].roles)
        assert {key: after[key] for key in after.keys() - added} == before


def test_that_small_files_are_copied_and_the_index_of_the_source_is_not(
    models: dict[str, Path],
) -> None:
    plan = plan_of(sample_model(), "gptq-4bit-g128")
    names = {file.name for file in plan.files}
    assert names == {
        "model.safetensors", "config.json", "quantize_config.json", "README.md",
        "generation_config.json", "special_tokens_map.json", "tokenizer.json",
        "tokenizer_config.json",
    }  # fmt: skip
    assert content(plan, "tokenizer.json") == (sample_model() / "tokenizer.json").read_bytes()
    settings = json.loads(content(plan, "quantize_config.json"))
    assert settings == config_of(plan)["quantization_config"]
    card = content(plan, "README.md").decode()
    assert card.startswith("---\n")
    assert "license: apache-2.0" in card
    assert "Nibble" in card


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("models--org--A-1.5B/snapshots/0a1b", "org/A-1.5B"),
        ("org--A-1.5B/0a1b/A-1.5B", "org/A-1.5B"),
        ("my--things/models/A-1.5B", ""),
    ],
)
def test_that_the_card_names_the_model_that_it_was_made_from(
    tmp_path: Path, place: str, name: str
) -> None:
    folder = tmp_path / place
    folder.mkdir(parents=True)
    empty_model(folder, model_type="llama")
    front = content(plan_of(folder, "fp8"), "README.md").decode().split("---")[1]
    assert (f"base_model: {name}\nbase_model_relation: quantized" in front) == bool(name)
    assert ("base_model" in front) == bool(name)


def test_that_only_matrices_of_layers_are_quantized(models: dict[str, Path]) -> None:
    plan = plan_of(models["mixture"], "w4a16-g128")
    plain = {tensor.name for tensor in plan.tensors if tensor.encoding == "BF16"}
    matrices = {tensor.name for tensor in plan.tensors if len(tensor.shape) > 1}
    kept = {name.replace(f"layers.{layer}.", "layers.*.") for name in plain for layer in range(4)}
    assert {name for name in kept if "layers" not in name or "*" in name} == {
        "model.embed_tokens.weight",
        "lm_head.weight",
        "model.norm.weight",
        "model.layers.*.input_layernorm.weight",
        "model.layers.*.post_attention_layernorm.weight",
        "model.layers.*.self_attn.q_norm.weight",
        "model.layers.*.self_attn.k_norm.weight",
        "model.layers.*.mlp.gate.weight",
    }
    assert len(matrices - plain) == 4 * (4 + 4 * 3)
    ignored = config_of(plan)["quantization_config"]["ignore"]
    assert ignored == ["lm_head", *(f"model.layers.{layer}.mlp.gate" for layer in range(4))]


def test_that_formats_of_few_bits_take_the_method_that_they_are_named_after() -> None:
    presets = {preset.name: preset for preset in FORMATS["safetensors"].presets}
    assert presets["gptq-4bit-g128"].recipe().method == "gptq"
    assert presets["gptq-2bit-g64"].recipe().method == "gptq"
    assert presets["gptq-8bit-g128"].recipe().method == "nearest"
    assert presets["awq-4bit-g64"].recipe().method == "awq"
    assert presets["hqq-8bit-g64"].recipe().method == "hqq"
    assert presets["w4a16-g128"].recipe().method == "nearest"


def test_that_what_is_joined_is_quantized_together_or_not_at_all(models: dict[str, Path]) -> None:
    """Keys have 64 rows, which blocks of 128 do not divide; queries and values go with them."""
    plan = plan_of(models["llama"], "fp8-block")
    quantized = {one.name.split(".")[-2] for one in plan.tensors if one.encoding == "fp8-deepseek"}
    assert quantized == {"o_proj", "gate_proj", "up_proj", "down_proj"}
    left = config_of(plan)["quantization_config"]["modules_to_not_convert"]
    assert left[:4] == ["lm_head", *(f"model.layers.0.self_attn.{one}_proj" for one in "qkv")]
    assert len(left) == 1 + 4 * 3
    (note,) = (note for note in plan.notes if "divide" in note)
    assert note.startswith("12 of 28 matrices stay in BF16")


def test_that_a_model_whose_sizes_do_not_suit_is_refused_before_any_work(
    models: dict[str, Path],
) -> None:
    with pytest.raises(Unsupported, match=r"q_proj is 192 x 192"):
        plan_of(models["narrow"], "fp8-block-ct")
    some = plan_of(models["narrow"], "w4a16-g128")  # the last matrix has 512 columns
    assert {one.name.split(".")[-2] for one in some.tensors if "packed" in one.encoding} == {
        "down_proj"
    }
    assert not plan_of(models["narrow"], "w4a16-g32").notes


@pytest.mark.parametrize("preset", ["fp8", "fp8-block", "w8a8-int8-static", "w8a16", "mlx-4bit"])
def test_that_it_is_said_where_programs_round_inputs(models: dict[str, Path], preset: str) -> None:
    said = any("multiplied with" in note for note in plan_of(models["llama"], preset).notes)
    assert said == (preset not in {"w8a16", "mlx-4bit"})


def test_that_options_of_gguf_files_are_refused(models: dict[str, Path]) -> None:
    for wishes in ({"pure": True}, {"importance": "auto"}, {"overrides": (("ffn", "Q8_0"),)}):
        with pytest.raises(Unsupported, match="is a folder"):
            plan_of(models["llama"], "fp8", **wishes)


def test_that_a_gguf_file_is_no_source_of_a_folder_yet(tmp_path: Path) -> None:
    plan = FORMATS["gguf"].prepare(open_model("sample")).plan(Recipe("Q8_0"))
    path = tmp_path / "m.gguf"
    with path.open("wb") as file:
        file.write(plan.header)
        file.truncate(plan.total_bytes)
    with pytest.raises(Unsupported, match="GGUF"):
        FOLDERS.prepare(open_model(path))


def test_that_experts_of_gpt_oss_go_into_its_own_format_only(models: dict[str, Path]) -> None:
    plan = plan_of(models["gpt-oss"], "gpt-oss-mxfp4")
    experts = {one.name for one in plan.tensors if one.encoding == "mxfp4-experts"}
    assert experts == {
        f"model.layers.{layer}.mlp.experts.{kind}_proj"
        for layer in range(4)
        for kind in ("gate_up", "down")
    }
    parts = {name for name in opened_names(plan) if "layers.0.mlp.experts.down" in name}
    stem = "model.layers.0.mlp.experts.down_proj"
    assert parts == {f"{stem}_blocks", f"{stem}_scales", f"{stem}_bias"}
    with pytest.raises(Unsupported, match="another family"):
        plan_of(models["llama"], "gpt-oss-mxfp4")
    other = plan_of(models["gpt-oss"], "w8a8-int8")
    assert any("experts" in note and "stay in BF16" in note for note in other.notes)


def test_that_experts_lie_in_stacks_for_mlx(models: dict[str, Path], tmp_path: Path) -> None:
    plan = plan_of(models["mixture"], "mlx-4bit")
    opened = SafetensorsFolder(written(plan, tmp_path / "out"))
    stem = "model.layers.2.mlp.switch_mlp.down_proj"
    assert opened.tensors[f"{stem}.weight"].shape == (4, 256, 128 // 8)
    assert opened.tensors[f"{stem}.scales"].shape == (4, 256, 128 // 64)
    expert = "model.layers.2.mlp.experts.3.down_proj.weight"
    tensor = next(one for one in plan.tensors if one.name == expert)
    _, offset = opened._places[f"{stem}.weight"]
    assert tensor.apart[0] == tensor.offset == offset + 3 * 256 * 128 // 2
    assert FOLDERS.open(tmp_path / "out").tensors[expert].shape == (256, 128)


def opened_names(plan: Plan) -> set[str]:
    header = plan.files[0].header
    return set(json.loads(header[8:])) - {"__metadata__"}


@pytest.mark.parametrize("preset", ["bnb-nf4", "fbgemm-fp8"])
def test_that_programs_that_know_no_quantized_experts_get_plain_ones(
    models: dict[str, Path], preset: str
) -> None:
    plan = plan_of(models["mixture"], preset)
    assert {one.encoding for one in plan.tensors if ".experts." in one.name} == {"BF16"}
    assert any("experts" in note for note in plan.notes)
    plan = plan_of(models["mixture"], "w4a16-g32")
    assert plan.notes == ("With quantized experts it runs in vLLM and SGLang only.",)
    assert plan.runs_in == "vLLM, SGLang"
    card = next(file.header for file in plan.files if file.name == "README.md")
    assert b"| Runs in | vLLM, SGLang |" in card


def test_that_joined_experts_are_taken_apart_under_the_names_that_servers_read(
    tmp_path: Path,
) -> None:
    source = stacked_mixture(tmp_path / "stacked")
    plan = plan_of(source, "w4a16-g32")
    experts = {one.name: one.shape for one in plan.tensors if ".experts." in one.name}
    layer = "model.layers.0.mlp.experts."
    assert experts[f"{layer}3.gate_proj.weight"] == (128, 256)
    assert experts[f"{layer}3.down_proj.weight"] == (256, 128)
    assert len(experts) == 4 * 3
    conversion = FOLDERS.prepare(open_model(source))
    both = open_model(source).tensor(f"{layer}gate_up_proj").float()
    planned = {one.name: one for one in plan.tensors}
    for name, part in (("gate", both[2, :128]), ("up", both[2, 128:])):
        tensor = planned[f"{layer}2.{name}_proj.weight"]
        assert conversion.rows(tensor, 0, 128).equal(part)
        assert conversion.rows(tensor, 32, 64).equal(part[32:64])
    stacks = plan_of(source, "bf16-folder")
    assert f"{layer}gate_up_proj" in {one.name for one in stacks.tensors}


# What libraries make of the settings ------------------------------------------------------------


NAMED = {
    "w4a16-g128": "W4A16", "w4a16-asym-g128": "W4A16_ASYM", "w8a8-int8": "INT8",
    "fp8": "FP8_DYNAMIC", "fp8-block-ct": "FP8_BLOCK", "nvfp4a16": "NVFP4A16",
    "mxfp4a16": "MXFP4A16", "mxfp8a16": "MXFP8A16", "fp8-static": "FP8", "nvfp4-w4a4": "NVFP4",
}  # fmt: skip


@pytest.mark.parametrize("preset", NAMED)
def test_that_settings_are_those_of_the_librarys_own_scheme(
    models: dict[str, Path], preset: str
) -> None:
    from compressed_tensors.quantization import QuantizationConfig, preset_name_to_scheme

    settings = config_of(plan_of(models["llama"], preset))["quantization_config"]
    read = QuantizationConfig.model_validate(settings)
    expected = preset_name_to_scheme(NAMED[preset], ["Linear"])
    found = read.config_groups["group_0"]
    assert found.targets == ["Linear"]
    for part in ("weights", "input_activations"):
        ours, theirs = getattr(found, part), getattr(expected, part)
        if theirs is None:
            assert ours is None
            continue
        unlike = {"observer", "observer_kwargs"}  # for calibrating only
        assert ours.model_dump(exclude=unlike) == theirs.model_dump(exclude=unlike)


def test_that_static_integers_are_described_with_one_scale_for_inputs(
    models: dict[str, Path],
) -> None:
    from compressed_tensors.quantization import QuantizationArgs, QuantizationConfig

    plan = plan_of(models["llama"], "w8a8-int8-static")
    read = QuantizationConfig.model_validate(config_of(plan)["quantization_config"])
    found = read.config_groups["group_0"]
    integers = {"num_bits": 8, "type": "int", "symmetric": True, "observer": "minmax"}
    assert found.weights == QuantizationArgs(**integers, strategy="channel")
    assert found.input_activations == QuantizationArgs(**integers, strategy="tensor")
    assert found.input_activations.dynamic is False
    assert read.format == "int-quantized"


#: MLX has a field of its own, and transformers reads no settings of a library that is not there.
OTHERS = ("mlx-", "hqq-")


@pytest.mark.parametrize("preset", [name for name in GENERAL if not name.startswith(OTHERS)])
def test_that_transformers_understands_the_settings(models: dict[str, Path], preset: str) -> None:
    from transformers.quantizers.auto import AutoQuantizationConfig

    settings = config_of(plan_of(models["llama"], preset)).get("quantization_config")
    if settings is None:
        return
    read = AutoQuantizationConfig.from_dict(dict(settings))
    assert read.quant_method == settings["quant_method"]
    dumped = read.to_dict()
    for key in ("bits", "group_size", "desc_act", "sym", "weight_block_size", "load_in_4bit"):
        assert dumped.get(key) == settings.get(key) or key not in settings
