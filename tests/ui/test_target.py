import os
from dataclasses import replace
from pathlib import Path

import pytest

from app.ui.target import Target, check, free_name, renamed


@pytest.fixture
def target(tmp_path):
    return Target(str(tmp_path / "model.gguf"), ".gguf", 1000, str(tmp_path / "source"))


def test_that_a_free_name_on_a_roomy_disk_is_fine(target):
    found = check(target)
    assert found.problem is None
    assert not found.exists
    assert found.free > 1000


def test_that_a_suggestion_gives_way_to_what_is_there_and_what_will_be(target, tmp_path):
    (tmp_path / "model.gguf").touch()
    taken = frozenset({str(tmp_path / "model-2.gguf")})
    found = check(replace(target, is_suggestion=True, taken=taken))
    assert found.path == str(tmp_path / "model-3.gguf")
    assert not found.exists


def test_that_a_typed_name_is_kept_and_its_file_is_seen(target, tmp_path):
    (tmp_path / "model.gguf").touch()
    found = check(target)
    assert (found.path, found.exists, found.problem) == (target.path, True, None)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", "Choose where"),
        ("model.gguf", "not a full path"),
        ("/nowhere/model.bin", "end in .gguf"),
    ],
)
def test_that_a_name_that_cannot_work_is_explained(target, path, words):
    assert words in check(replace(target, path=path)).problem.title


def test_that_the_model_itself_is_never_the_target(target, tmp_path):
    source = tmp_path / "model.gguf"
    source.touch()
    assert "the model itself" in check(replace(target, source=str(source))).problem.title


def test_that_a_folder_is_not_replaced(target, tmp_path):
    (tmp_path / "model.gguf").mkdir()
    assert "a folder" in check(target).problem.title


def test_that_the_target_of_a_waiting_job_is_taken(target):
    found = check(replace(target, taken=frozenset({target.path})))
    assert "Another job" in found.problem.title


def test_that_a_disk_too_small_says_how_much_is_missing(target):
    free = check(target).free
    found = check(replace(target, nbytes=free + 5_000_000_000))
    assert "GB more room" in found.problem.title


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_that_a_folder_that_cannot_be_written_is_seen(target, tmp_path):
    tmp_path.chmod(0o500)
    assert "Nothing can be saved" in check(target).problem.title


def test_that_a_file_in_the_way_of_the_folder_is_seen(target, tmp_path):
    (tmp_path / "file").touch()
    found = check(replace(target, path=str(tmp_path / "file" / "model.gguf")))
    assert "Nothing can be saved" in found.problem.title


def test_that_a_folder_that_will_be_made_is_announced(target, tmp_path):
    assert check(replace(target, path=str(tmp_path / "new" / "model.gguf"))).makes_folder


def test_that_a_free_name_is_left_alone(tmp_path):
    path = str(tmp_path / "a.gguf")
    assert free_name(path, ".gguf", frozenset()) == path


@pytest.fixture
def folder(tmp_path):
    return Target(str(tmp_path / "Qwen2.5-1.5B-w4a16"), "", 1000, str(tmp_path / "source"))


def test_that_a_folders_name_may_have_dots(folder, tmp_path):
    assert check(folder).problem is None
    (tmp_path / "Qwen2.5-1.5B-w4a16").mkdir()
    found = check(replace(folder, is_suggestion=True))
    assert found.path == str(tmp_path / "Qwen2.5-1.5B-w4a16-2")


def test_that_an_empty_folder_is_free_and_one_with_a_model_can_be_replaced(folder):
    place = Path(folder.path)
    place.mkdir()
    assert not check(folder).exists
    (place / "config.json").touch()
    found = check(folder)
    assert (found.exists, found.problem) == (True, None)
    (place / "diary.txt").touch()
    assert "diary.txt" in check(folder).problem.title


def test_that_a_file_is_no_place_for_a_folder(folder):
    Path(folder.path).touch()
    assert "a file" in check(folder).problem.title


def test_that_a_path_follows_the_kind_of_result():
    assert renamed("/m/x.GGUF", ".gguf", "") == "/m/x"
    assert renamed("/m/Qwen2.5", "", ".gguf") == "/m/Qwen2.5.gguf"
