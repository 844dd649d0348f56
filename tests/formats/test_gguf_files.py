"""Plans, headers and requantizing, judged by the gguf library and by byte counts."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise

import bare_gguf
import gguf
import numpy as np
import pytest
import tiny_models
import torch
from safetensors.torch import load_file, save_file

from app.core.errors import BadModelFile, Unsupported
from app.core.places import sample_model
from app.core.plan import ImportanceFacts
from app.core.recipe import Recipe
from app.formats import FORMATS, find_preset
from app.formats.gguf.header import typed
from app.models.gguf_file import GgufFile
from app.models.gguf_header import GgufValue, ValueType
from app.models.open import open_model

GGUF = FORMATS["gguf"]


def edited(tiny, folder, **config):
    """A copy of the tiny Llama with entries of config.json replaced; None removes one."""
    shutil.copytree(tiny("llama").folder, folder, dirs_exist_ok=True)
    settings = json.loads((folder / "config.json").read_text())
    settings |= config
    settings = {key: value for key, value in settings.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(settings))
    return folder


@pytest.mark.parametrize("preset", ["F32", "Q8_0", "Q4_K_M"])
def test_that_the_file_is_what_the_plan_says_to_the_byte(preset, tiny, tmp_path):
    plan = tiny_models.convert(tiny("llama 3").folder, tmp_path / "x.gguf", Recipe(preset))
    assert (tmp_path / "x.gguf").stat().st_size == plan.total_bytes
    reader = gguf.GGUFReader(tmp_path / "x.gguf")
    assert reader.data_offset == len(plan.header)
    found = {
        t.name: (t.tensor_type.name, int(t.data_offset), int(t.n_bytes), tuple(t.shape[::-1]))
        for t in reader.tensors
    }
    assert found == {t.name: (t.encoding, t.offset, t.nbytes, t.shape) for t in plan.tensors}
    assert all(tensor.offset % 32 == 0 for tensor in plan.tensors)


def test_that_the_metadata_reads_back_through_the_gguf_library(tiny, tmp_path):
    folder = tiny("llama 3").folder
    tiny_models.convert(folder, tmp_path / "x.gguf", Recipe("Q4_K_M"))
    fields = gguf.GGUFReader(tmp_path / "x.gguf").fields
    expected = {
        "general.architecture": "llama",
        "general.file_type": 15,
        "general.quantization_version": 2,
        "llama.block_count": 4,
        "llama.attention.head_count_kv": 2,
        "llama.attention.key_length": 64,
        "llama.rope.freq_base": 500000.0,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.padding_token_id": 1,
        "tokenizer.ggml.add_bos_token": True,
    }
    assert {key: fields[key].contents() for key in expected} == expected
    assert len(fields["tokenizer.ggml.tokens"].contents()) == 4096


def test_that_slices_of_rows_are_the_rows_of_the_whole(tiny):
    conversion = GGUF.prepare(open_model(tiny("llama with biases").folder))
    for tensor in conversion.plan(Recipe("F16")).tensors:
        rows = tensor.weights // tensor.shape[-1]
        whole = conversion.rows(tensor, 0, rows)
        assert whole.shape == (rows, tensor.shape[-1])
        assert whole.dtype == torch.float32
        step = conversion.row_step(tensor)
        cuts = [*range(0, rows, 3 * step), rows]
        parts = [conversion.rows(tensor, a, b) for a, b in pairwise(cuts)]
        assert torch.equal(torch.cat(parts), whole), tensor.name


def test_that_only_rotated_tensors_change_the_order_of_their_rows(tiny):
    model, folder = tiny("llama")
    conversion = GGUF.prepare(open_model(folder))
    moved = set()
    state = model.state_dict()
    for tensor in conversion.plan(Recipe("F32")).tensors:
        rows = tensor.weights // tensor.shape[-1]
        if not torch.equal(
            conversion.rows(tensor, 0, rows).reshape(tensor.shape), state[tensor.sources[0]]
        ):
            moved.add(tensor.name.split(".")[2])
    assert moved == {"attn_q", "attn_k"}


def test_that_sources_count_their_bytes_once(tiny):
    checkpoint = open_model(tiny("llama 3").folder)
    conversion = GGUF.prepare(checkpoint)
    plan = conversion.plan(Recipe("Q8_0"))
    assert sum(conversion.source_bytes(tensor) for tensor in plan.tensors) == checkpoint.nbytes
    (factors,) = [tensor for tensor in plan.tensors if not tensor.sources]
    assert factors.name == "rope_freqs.weight"
    assert conversion.source_bytes(factors) == 0


def test_that_a_stored_copy_of_a_tied_output_is_left_out(tiny, tmp_path):
    folder = edited(tiny, tmp_path, tie_word_embeddings=True)
    names = [t.name for t in GGUF.prepare(open_model(folder)).plan(Recipe("F16")).tensors]
    assert "output.weight" not in names
    assert "token_embd.weight" in names


@pytest.mark.parametrize(
    ("config", "error", "words"),
    [
        ({"architectures": ["MambaForCausalLM"]}, Unsupported, "MambaForCausalLM"),
        ({"architectures": None, "model_type": "t5"}, Unsupported, "t5"),
        ({"architectures": None, "model_type": None}, BadModelFile, "what kind"),
        ({"hidden_size": 128}, BadModelFile, "shape"),
        ({"hidden_size": "abc"}, BadModelFile, "hidden_size"),
        ({"num_hidden_layers": 5}, BadModelFile, "no tensor model.layers.4"),
        ({"num_hidden_layers": 3}, Unsupported, "does not have: model.layers.3"),
        ({"num_hidden_layers": 10**9}, BadModelFile, "num_hidden_layers"),
        ({"num_hidden_layers": -1}, BadModelFile, "num_hidden_layers"),
        ({"num_attention_heads": 0}, BadModelFile, "num_attention_heads"),
        ({"num_key_value_heads": 3}, BadModelFile, "cannot share"),
        ({"vocab_size": 5000}, BadModelFile, "shape"),
        ({"hidden_act": "relu"}, Unsupported, "relu"),
        ({"rms_norm_eps": "x"}, BadModelFile, "rms_norm_eps"),
        ({"rms_norm_eps": 1e200}, BadModelFile, "rms_norm_eps"),
        ({"architectures": ["a\nb"]}, Unsupported, "a b"),
        ({"quantization_config": {"quant_method": "aqlm"}}, Unsupported, "aqlm"),
        ({"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}}, Unsupported, "dynamic"),
        ({"rope_parameters": {"rope_type": "linear"}}, BadModelFile, "position embedding"),
        ({"rope_parameters": {"rope_type": "linear", "factor": True}}, BadModelFile, "position"),
        ({"rope_parameters": {"partial_rotary_factor": 0.5}}, Unsupported, "partial"),
        ({"rope_parameters": [1]}, BadModelFile, "position"),
        ({"rope_parameters": {"rope_theta": -1}}, BadModelFile, "position"),
        ({"tie_word_embeddings": "yes"}, BadModelFile, "tie_word_embeddings"),
    ],
)
def test_that_a_config_that_cannot_be_is_refused_in_words(config, error, words, tiny, tmp_path):
    folder = edited(tiny, tmp_path, **config)
    with pytest.raises(error) as caught:
        GGUF.prepare(open_model(folder))
    assert words in caught.value.title
    assert caught.value.hint


def test_that_old_notations_of_rope_mean_the_same(tiny, tmp_path):
    _, folder = tiny("llama 3")
    new = GGUF.prepare(open_model(folder)).plan(Recipe("F32"))
    settings = json.loads((folder / "config.json").read_text())
    rope = settings.pop("rope_parameters")
    settings["rope_theta"] = rope.pop("rope_theta")
    settings["rope_scaling"] = {**rope, "type": rope.pop("rope_type")}
    copy = tmp_path / folder.name
    shutil.copytree(folder, copy)
    (copy / "config.json").write_text(json.dumps(settings))
    assert GGUF.prepare(open_model(copy)).plan(Recipe("F32")) == new


def test_that_the_licence_comes_from_the_model_card(tiny, tmp_path):
    folder = edited(tiny, tmp_path / "m")
    (folder / "README.md").write_text("---\nlicense: apache-2.0\ntags: [x]\n---\nlicense: no\n")
    tiny_models.convert(folder, tmp_path / "x.gguf", Recipe("F16"))
    assert GgufFile(tmp_path / "x.gguf").header.get("general.license") == "apache-2.0"


def test_that_requantizing_keeps_metadata_with_its_types(tiny, tmp_path):
    tiny_models.convert(tiny("qwen 3").folder, tmp_path / "f16.gguf", Recipe("F16"))
    before = GgufFile(tmp_path / "f16.gguf")
    extra = {
        "custom.double": GgufValue(ValueType.FLOAT64, 0.1),
        "custom.bytes": GgufValue(ValueType.ARRAY, (1, 2, 255), ValueType.UINT8),
        "custom.empty": GgufValue(ValueType.ARRAY, (), ValueType.STRING),
        "custom.big": GgufValue(ValueType.UINT64, 2**60),
        "split.count": GgufValue(ValueType.UINT16, 1),
    }
    tiny_models.rewrite_metadata(
        before, tmp_path / "extra.gguf", {**before.header.metadata, **extra}
    )
    tiny_models.convert(tmp_path / "extra.gguf", tmp_path / "q8.gguf", Recipe("Q8_0"))
    after = GgufFile(tmp_path / "q8.gguf").header.metadata
    wanted = {**before.header.metadata, **extra, "general.file_type": typed(7)}
    del wanted["split.count"]
    assert after == wanted


def test_that_requantizing_equals_quantizing_the_rounded_source(tiny, tmp_path):
    folder = tiny("llama").folder
    tiny_models.convert(folder, tmp_path / "bf16.gguf", Recipe("BF16"))
    tiny_models.convert(tmp_path / "bf16.gguf", tmp_path / "q8.gguf", Recipe("Q8_0"))
    rounded, quantized = GgufFile(tmp_path / "bf16.gguf"), gguf.GGUFReader(tmp_path / "q8.gguf")
    for tensor in quantized.tensors:
        source = rounded.tensor(tensor.name).to(torch.float32).numpy()
        wanted = gguf.quantize(source, tensor.tensor_type)
        assert np.array_equal(tensor.data, wanted), tensor.name


def test_that_a_file_with_few_bits_is_refused_and_the_original_asked_for(tiny, tmp_path):
    tiny_models.convert(tiny("llama").folder, tmp_path / "q4.gguf", Recipe("Q4_0"))
    conversion = GGUF.prepare(open_model(tmp_path / "q4.gguf"))
    with pytest.raises(Unsupported, match="already quantized \\(Q4_0, Q6_K\\)") as caught:
        conversion.plan(Recipe("Q4_0"))
    assert "original" in caught.value.hint
    plan = conversion.plan(Recipe("Q4_0", requantize=True))
    assert "accuracy is lost twice" in plan.notes[0]


def test_that_tensors_that_have_their_encoding_already_keep_their_bytes(tiny, tmp_path):
    tiny_models.convert(tiny("llama").folder, tmp_path / "q4.gguf", Recipe("Q4_0"))
    source = GgufFile(tmp_path / "q4.gguf")
    conversion = GGUF.prepare(source)
    plan = conversion.plan(Recipe("Q4_0", requantize=True, overrides=(("ffn_up", "Q8_0"),)))
    originals = {one.name: one.data for one in gguf.GGUFReader(source.path).tensors}
    kept = set()
    for tensor in plan.tensors:
        rows = tensor.weights // tensor.shape[-1]
        stored = conversion.stored(tensor, 1, rows) if rows > 1 else None
        if stored is not None:
            kept.add(tensor.name)
            assert np.array_equal(stored.numpy(), originals[tensor.name][1:])
    matrices = {name for name, info in source.tensors.items() if len(info.shape) > 1}
    assert kept == {name for name in matrices if "ffn_up" not in name}


def test_that_a_q8_0_source_is_accepted_with_a_note(tiny, tmp_path):
    tiny_models.convert(tiny("llama").folder, tmp_path / "q8.gguf", Recipe("Q8_0"))
    plan = GGUF.prepare(open_model(tmp_path / "q8.gguf")).plan(Recipe("Q4_K_M"))
    assert any("Q8_0 already" in note for note in plan.notes)


def test_that_a_gguf_file_of_an_unknown_family_is_quantized_by_the_names_of_its_tensors(tmp_path):
    metadata, shapes = bare_gguf.dense("of-tomorrow", layers=9)
    bare_gguf.write(tmp_path / "f16.gguf", metadata, shapes)
    plan = tiny_models.convert(tmp_path / "f16.gguf", tmp_path / "q.gguf", Recipe("Q8_0"))
    written = gguf.GGUFReader(tmp_path / "q.gguf")
    assert {t.name: t.tensor_type.name for t in written.tensors} == {
        t.name: t.encoding for t in plan.tensors
    }
    assert {t.encoding for t in plan.tensors} == {"Q8_0", "F32"}


def test_that_the_file_says_which_importance_matrix_it_was_made_with(tiny):
    conversion = GGUF.prepare(open_model(tiny("llama 3").folder))
    recipe = Recipe("Q4_K_M", importance="auto")
    without = conversion.plan(recipe)
    plan = conversion.plan(recipe, ImportanceFacts("m.imatrix.gguf", "wiki.txt", 28, 120))
    assert [tensor.encoding for tensor in plan.tensors] == [t.encoding for t in without.tensors]
    added = plan.header.find(b"quantize.imatrix.")
    assert without.header.find(b"quantize.imatrix.") < 0 < added
    assert plan.header[added:].count(b"quantize.imatrix.") == 4


def test_that_an_output_layer_that_is_left_has_the_numbers_of_the_source(tiny, tmp_path):
    folder = edited(tiny, tmp_path / "m")
    rewritten = {
        name: tensor.to(torch.bfloat16)
        for name, tensor in load_file(folder / "model.safetensors").items()
    }
    save_file(rewritten, folder / "model.safetensors")
    plan = tiny_models.convert(folder, tmp_path / "x.gguf", Recipe("Q8_0", leave_output=True))
    assert {t.name for t in plan.tensors if t.encoding == "BF16"} == {"output.weight"}
    written = GgufFile(tmp_path / "x.gguf").tensor("output.weight")
    assert torch.equal(written, rewritten["lm_head.weight"])


def test_that_a_file_that_holds_no_model_is_refused(tmp_path):
    metadata, shapes = bare_gguf.dense(layers=1)
    metadata["general.type"] = "adapter"
    with pytest.raises(Unsupported, match="adapter"):
        GGUF.prepare(open_model(bare_gguf.write(tmp_path / "a.gguf", metadata, shapes)))


def test_that_long_texts_of_windowed_models_get_a_note(tiny, tmp_path):
    _, folder = tiny("mistral")
    copy = tmp_path / "m"
    shutil.copytree(folder, copy)
    settings = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**settings, "sliding_window": 64}))
    assert any("64 tokens" in n for n in GGUF.prepare(open_model(copy)).plan(Recipe("F16")).notes)
    assert GGUF.prepare(open_model(folder)).plan(Recipe("F16")).notes == ()


def test_that_the_sample_fits_every_preset():
    conversion = GGUF.prepare(open_model(sample_model()))
    for preset in GGUF.presets:
        plan = conversion.plan(preset.recipe())
        assert plan.weights > 5_000_000
        assert plan.header.startswith(b"GGUF")


def test_that_presets_are_found_in_any_case_of_letters():
    assert find_preset("q4_k_m")[1].name == "Q4_K_M"
