"""What a person may choose, and what opens then."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from app.core.errors import BadModelFile, Unsupported
from app.core.places import sample_model
from app.models.gguf_file import GgufFile
from app.models.open import open_model
from app.models.safetensors_folder import SafetensorsFolder
from tests.models.malformed_gguf import gguf, tensor
from tests.models.malformed_safetensors import CONFIG, entry, pair, safetensors

A, B = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
INDEX = "model.safetensors.index.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model in one file."""
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "model.safetensors").write_bytes(safetensors(entry()))
    return tmp_path


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    """A model in two files with an index: "a" in the first, "b" in the second."""
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / A).write_bytes(safetensors(entry()))
    (tmp_path / B).write_bytes(safetensors({"b": entry()["a"]}, bytes(range(100, 116))))
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": {"b": B, "a": A}}))
    return tmp_path


def test_that_the_sample_opens_by_its_name() -> None:
    model = open_model("sample")
    assert model.path == sample_model()
    assert model.config["model_type"] == "llama"


@pytest.mark.parametrize("name", ["", "model.safetensors", "config.json"])
def test_that_a_folder_opens_by_each_of_its_files(name: str, folder: Path) -> None:
    model = open_model(folder / name)
    assert isinstance(model, SafetensorsFolder)
    assert model.path == folder
    assert model.config == CONFIG
    assert bytes(model.tensor("a").view(-1).numpy().tobytes()) == bytes(range(16))


@pytest.mark.parametrize("name", ["", A, B, INDEX, "config.json"])
def test_that_shards_open_as_one_model(name: str, sharded: Path) -> None:
    model = open_model(sharded / name)
    assert list(model.tensors) == ["a", "b"]
    assert bytes(model.tensor("b").view(-1).numpy().tobytes()) == bytes(range(100, 116))
    assert {path.name for path in model.files} == {A, B, INDEX, "config.json"}


def test_that_shards_open_without_an_index(sharded: Path) -> None:
    (sharded / INDEX).unlink()
    assert list(open_model(sharded).tensors) == ["a", "b"]


def test_that_files_outside_the_index_are_left_alone(sharded: Path) -> None:
    (sharded / "consolidated.safetensors").write_bytes(safetensors(entry()))
    assert list(open_model(sharded).tensors) == ["a", "b"]


def test_that_a_missing_shard_is_named(sharded: Path) -> None:
    (sharded / B).unlink()
    with pytest.raises(BadModelFile, match=B):
        open_model(sharded)


def test_that_a_shard_with_other_tensors_is_named(sharded: Path) -> None:
    (sharded / B).write_bytes(safetensors(pair((0, 8), (8, 16))))
    with pytest.raises(BadModelFile, match="a is both in"):
        open_model(sharded)


def test_that_names_in_an_index_cannot_leave_the_folder(sharded: Path) -> None:
    (sharded / INDEX).write_text(json.dumps({"weight_map": {"a": "../x.safetensors"}}))
    with pytest.raises(BadModelFile, match="leads out of the model's folder"):
        open_model(sharded)


@pytest.mark.skipif(os.name != "posix", reason="links need no rights only here")
def test_that_the_cache_of_the_hub_opens(sharded: Path, tmp_path_factory) -> None:
    cache = tmp_path_factory.mktemp("cache") / "models--some--Model-1B"
    (cache / "blobs").mkdir(parents=True)
    snapshot = cache / "snapshots" / "0123abcd"
    snapshot.mkdir(parents=True)
    for number, path in enumerate(sharded.iterdir()):
        (cache / "blobs" / str(number)).write_bytes(path.read_bytes())
        (snapshot / path.name).symlink_to(Path("../../blobs") / str(number))
    assert list(open_model(snapshot).tensors) == ["a", "b"]


def test_that_pickles_are_refused_with_the_reason_and_a_way_out(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(Unsupported, match="can run hidden programs") as caught:
        open_model(folder)
    assert "safetensors" in caught.value.hint


def test_that_a_gguf_file_opens_whatever_it_is_called(tmp_path: Path) -> None:
    for name in ("m.gguf", "model.safetensors", "model.bin", "noname"):
        (tmp_path / name).write_bytes(gguf(tensor()))
        assert isinstance(open_model(tmp_path / name), GgufFile)


def test_that_a_folder_with_one_gguf_file_opens_it(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(gguf(tensor()))
    (tmp_path / "config.json").write_text("{}")
    assert open_model(tmp_path).path == tmp_path / "m.gguf"


def test_that_safetensors_win_over_a_gguf_file_beside_them(folder: Path) -> None:
    (folder / "m.gguf").write_bytes(gguf(tensor()))
    assert isinstance(open_model(folder), SafetensorsFolder)


def test_that_the_path_is_in_the_error_when_there_is_nothing(tmp_path: Path) -> None:
    with pytest.raises(BadModelFile, match="nothing-here"):
        open_model(tmp_path / "nothing-here")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_that_a_file_that_may_not_be_read_is_named(folder: Path) -> None:
    (folder / "model.safetensors").chmod(0)
    with pytest.raises(BadModelFile, match="cannot be read"):
        open_model(folder)
