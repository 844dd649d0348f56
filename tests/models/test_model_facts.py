"""What is shown of a model before its weights are read."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from app.core.errors import BadModelFile
from app.core.model import ModelFacts
from app.models.facts import model_facts
from app.models.open import open_model
from tests.models import malformed_gguf as made
from tests.models.malformed_safetensors import safetensors


def facts(folder: Path, config: dict[str, Any]) -> ModelFacts:
    (folder / "config.json").write_text(json.dumps(config))
    tensors = {
        "big": {"dtype": "BF16", "shape": [4, 4], "data_offsets": [0, 32]},
        "small": {"dtype": "F32", "shape": [5], "data_offsets": [32, 52]},
    }
    (folder / "model.safetensors").write_bytes(safetensors(tensors, bytes(52)))
    return model_facts(open_model(folder))


def test_that_the_sample_is_described() -> None:
    found = model_facts(open_model("sample"))
    assert (found.kind, found.architecture, found.dtype) == ("safetensors", "Llama", "BF16")
    assert (found.layers, found.hidden, found.vocabulary, found.context) == (8, 256, 4096, 1024)
    assert found.weights == 5_771_520
    assert found.nbytes == 11_543_040


def test_that_the_dtype_is_that_of_most_bytes(tmp_path: Path) -> None:
    found = facts(tmp_path, {})
    assert (found.dtype, found.weights, found.nbytes) == ("BF16", 21, 52)


@pytest.mark.parametrize(
    ("config", "title"),
    [
        ({"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3"}, "Qwen3"),
        ({"architectures": ["MambaForCausalLM"], "model_type": "mamba"}, "Mamba"),
        ({"architectures": ["Gemma3ForConditionalGeneration"]}, "Gemma 3"),
        ({"architectures": ["T5ForConditionalGeneration"]}, "T5"),
        ({"model_type": "rwkv"}, "rwkv"),
        ({}, "unknown"),
    ],
)
def test_that_the_family_has_a_readable_name(
    config: dict[str, Any], title: str, tmp_path: Path
) -> None:
    assert facts(tmp_path, config).architecture == title


def test_that_the_text_part_of_a_vision_model_is_described(tmp_path: Path) -> None:
    inner = {"hidden_size": 64, "num_hidden_layers": 3, "vocab_size": 10}
    found = facts(tmp_path, {"text_config": inner, "vision_config": {"hidden_size": 99}})
    assert (found.hidden, found.layers, found.vocabulary, found.context) == (64, 3, 10, 0)


def test_that_old_names_of_fields_are_understood(tmp_path: Path) -> None:
    found = facts(tmp_path, {"n_embd": 64, "n_layer": 3, "n_positions": 1024, "vocab_size": 10})
    assert (found.hidden, found.layers, found.context) == (64, 3, 1024)


def test_that_a_wrong_field_is_named_with_what_was_found(tmp_path: Path) -> None:
    with pytest.raises(BadModelFile, match=r"config\.json: hidden_size .* found 'abc'"):
        facts(tmp_path, {"hidden_size": "abc"})


@pytest.mark.parametrize(
    ("path", "config", "name"),
    [
        ("My-Model", {"_name_or_path": "base/Model"}, "My-Model"),
        ("0123456789abcdef", {"_name_or_path": "base/Model-7B/"}, "Model-7B"),
        ("checkpoint-500", {"_name_or_path": "C:\\models\\Tiny"}, "Tiny"),
        ("sample_model", {"_name_or_path": "Nibble-sample"}, "Nibble-sample"),
        ("checkpoint-500", {}, "checkpoint-500"),
        ("models--some--Model-1B/snapshots/0123abc", {}, "Model-1B"),
    ],
)
def test_that_a_model_is_called_what_people_call_it(
    path: str, config: dict[str, Any], name: str, tmp_path: Path
) -> None:
    folder = tmp_path / path
    folder.mkdir(parents=True)
    assert facts(folder, config).name == name


def test_that_a_gguf_file_is_described(tmp_path: Path) -> None:
    def count(key: str, value: int) -> bytes:
        return made.note(key, made.U32, struct.pack("<I", value))

    tokens = made.many(made.TEXT, 2, made.string("a") + made.string("b"))
    notes = (
        made.ARCHITECTURE,
        made.note("general.name", made.TEXT, made.string("Tiny\nLlama")),
        count("llama.context_length", 2048),
        count("llama.block_count", 3),
        count("llama.embedding_length", 32),
        made.note("tokenizer.ggml.tokens", made.LIST, tokens),
    )
    path = tmp_path / "m.gguf"
    path.write_bytes(made.gguf(made.tensor("a", (32, 4), 8), notes=notes, data=bytes(136)))
    assert model_facts(open_model(path)) == ModelFacts(
        path=str(path), name="Tiny Llama", kind="gguf", architecture="Llama", weights=128,
        nbytes=136, dtype="Q8_0", context=2048, layers=3, hidden=32, vocabulary=2,
    )  # fmt: skip


def test_that_a_gguf_file_without_notes_is_called_by_its_file(tmp_path: Path) -> None:
    path = tmp_path / "Tiny.Q8_0.gguf"
    path.write_bytes(made.gguf(made.tensor(), notes=()))
    found = model_facts(open_model(path))
    assert (found.name, found.architecture, found.layers) == ("Tiny.Q8_0", "unknown", 0)
