from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import files, words
from app.core.desktop import no_display
from app.core.files import free_bytes, write_atomic
from app.core.names import result_name, safe_name
from app.core.needs import TimeSpan


def test_that_a_failed_write_leaves_the_old_content_and_no_rubbish(tmp_path, monkeypatch):
    path = tmp_path / "settings"
    write_atomic(path, b"old")

    def fail(_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(files.os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["settings"]


def test_that_free_space_is_known_for_a_folder_that_is_not_there_yet(tmp_path):
    assert free_bytes(tmp_path / "a" / "b") > 0


@given(st.text(max_size=300))
def test_that_a_name_from_outside_is_one_plain_file_name(text):
    name = safe_name(text)
    assert PurePosixPath(name).name == name
    assert PureWindowsPath(name).name == name
    assert not PureWindowsPath(name).is_reserved() if hasattr(PureWindowsPath, "is_reserved") else 1
    assert 0 < len(name) <= 151
    assert name not in {".", ".."}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Qwen3-8B", "Qwen3-8B"),
        ("../../etc/passwd", "etc-passwd"),
        ("C:\\x", "C-x"),
        ("NUL", "_NUL"),
        ("com1.txt", "_com1.txt"),
        ("", "model"),
        ("a\0b", "a-b"),
    ],
)
def test_that_hostile_names_become_harmless(text, name):
    assert safe_name(text) == name


def test_that_a_result_is_called_after_its_model_and_preset():
    assert result_name("org/Qwen3-8B", "Q4_K_M", ".gguf") == "org-Qwen3-8B-Q4_K_M.gguf"


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (11_850_000, "11.8 MB"),
        (99_949_999, "99.9 MB"),
        (99_960_000, "100 MB"),
        (999_600_000, "1.0 GB"),
        (16_400_000_000, "16.4 GB"),
        (2_000_000_000_000, "2.0 TB"),
    ],
)
def test_that_sizes_read_as_in_a_file_manager(nbytes, text):
    assert words.size(nbytes) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(960, "960"), (5_771_520, "5.8 M"), (134_515_008, "135 M"), (8.2e9, "8.2 B")],
)
def test_that_weights_are_counted_in_words(number, text):
    assert words.count(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (200, "3 min"),
        (7800, "2 h 10 min"),
        (7200, "2 h"),
    ],
)
def test_that_times_are_short(seconds, text):
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (TimeSpan(100, 260), "about 2 min to 4 min"),
        (TimeSpan(100, 260, guessed=True), "perhaps 2 min to 4 min"),
        (TimeSpan(100, 110), "about 2 min"),
        (TimeSpan(0.01, 1.6), "a few seconds"),
        (TimeSpan(0.4, 9, guessed=True), "a few seconds"),
        (TimeSpan(0.4, 12), "about 1 s to 12 s"),
    ],
)
def test_that_a_span_of_time_is_told_as_exactly_as_it_is_known(span, text):
    assert str(span) == text


def test_that_a_session_without_a_display_is_told_the_command(monkeypatch):
    for key in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    assert "nibble quantize sample --format Q4_K_M" in no_display("nibble")
    monkeypatch.setenv("DISPLAY", ":0")
    assert no_display("nibble") == ""


def test_that_the_sample_and_its_texts_are_shipped():
    from app.core.places import resources, sample_model

    assert (sample_model() / "config.json").is_file()
    assert isinstance(resources() / "text", Path)
    assert (resources() / "text" / "evaluation.txt").stat().st_size > 10_000
