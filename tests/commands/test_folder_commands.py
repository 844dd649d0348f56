"""Folders and methods on the command line: lists, dry runs, and jobs."""

from __future__ import annotations

import json

import pytest

from app.core.places import jobs_folder
from app.core.runtime import Runtime
from app.core.store import JobStore
from app.formats import PRESETS


def test_that_formats_are_listed_under_the_programs_that_load_them(say):
    _, out, _ = say("formats")
    heads = [line for line in out.splitlines() if line.startswith("For ")]
    assert heads == [f"For {runtime.label}" for runtime in Runtime]
    names = {name: [one for one in out.split() if one == name] for name in PRESETS}
    for name, (form, preset) in PRESETS.items():
        assert len(names[name]) >= len(form.runtimes(preset)) > 0
    _, out, _ = say("formats", "--for", "mlx", "--json")
    rows = json.loads(out)
    assert {"mlx-4bit", "bf16-folder"} <= {row["name"] for row in rows}
    assert all("mlx" in row["runtimes"] for row in rows)


def test_that_methods_are_listed_with_their_options(say):
    code, out, _ = say("formats", "--methods")
    assert code == 0
    assert "gptq" in out
    assert "damping" in out
    assert "0.01" in out


def test_that_a_dry_run_sizes_the_folder_that_is_then_written(say, tmp_path):
    options = ("quantize", "sample", "--format", "w4a16-g128")
    code, out, err = say(*options, "--dry-run", "--json")
    assert code == 0, err
    planned = json.loads(out)
    target = tmp_path / "folder"
    code, out, err = say(*options, "--no-evaluate", "--out", target, "--json")
    assert code == 0, err
    written = {file.name: file.stat().st_size for file in target.iterdir()}
    assert written == {file["name"]: file["bytes"] for file in planned["files"]}
    assert planned["bytes_after"] == sum(written.values())
    assert "a folder of" in say(*options, "--dry-run")[1]


def test_that_a_method_and_its_options_reach_the_job(say, tmp_path):
    code, _, err = say(
        "quantize", "sample", "--format", "w4a16-asym-g128", "--method", "HQQ", "--set",
        "rounds=3", "--set", "norm=0.8", "--samples", "7", "--length", "64", "--seed", "5",
        "--no-evaluate", "--out", tmp_path / "folder",
    )  # fmt: skip
    assert code == 0, err
    job = JobStore(jobs_folder()).jobs()[-1]
    assert (job.recipe.method, job.recipe.options) == ("hqq", (("rounds", "3"), ("norm", "0.8")))
    assert (job.samples, job.length, job.seed) == (7, 64, 5)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--method", "nonsense"), "nonsense"),
        (("--method", "gptq", "--set", "dampening=1"), "damping"),
        (("--method", "gptq", "--set", "damping=soon"), "a number"),
        (("--method", "hqq"), "hqq"),
    ],
)
def test_that_a_dry_run_refuses_what_a_job_would(say, options, word):
    code, out, err = say("quantize", "sample", "--format", "Q4_K_M", "--dry-run", *options)
    assert (code, out) == (2, "")
    assert word in err


@pytest.mark.parametrize(
    ("preset", "options", "words"),
    [
        ("Q4_0", ("--method", "gptq", "--calibration", "nowhere.txt"), "There is no file"),
        ("Q4_0", ("--imatrix", "auto", "--calibration", "nowhere.txt"), "There is no file"),
        ("fp8-static", ("--calibration", "nowhere.txt"), "There is no file"),
        ("Q4_0", ("--device", "cuda:99"), "PyTorch cannot use a device called cuda:99"),
    ],
)
def test_that_a_dry_run_misses_the_file_or_device_that_a_job_would(
    say, tmp_path, monkeypatch, preset, options, words
):
    monkeypatch.chdir(tmp_path)
    base = ("quantize", "sample", "--format", preset, *options)
    code, out, refused = say(*base, "--dry-run")
    assert (code, out) == (2, "")
    assert words in refused
    code, _, failed = say(*base)
    assert code == 2
    assert set(refused.splitlines()) <= set(failed.splitlines())  # a job says more before it


def test_that_a_text_is_for_the_method_that_wants_to_see_it(say, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("Some words. " * 50, encoding="utf-8")
    base = ("quantize", "sample", "--format", "Q4_K_M", "--calibration", text, "--dry-run")
    assert "importance matrix is computed first" in say(*base)[1]
    _, out, _ = say(*base, "--method", "gptq")
    assert "importance matrix" not in out
    assert "gptq sees the model at work" in out


def test_that_a_text_serves_a_folder_that_stores_ranges_and_is_left_alone_by_others(say, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("Some words. " * 50, encoding="utf-8")
    some = ("--calibration", text, "--samples", "2", "--length", "16", "--no-evaluate")
    for preset, is_read in (("fp8-static", True), ("w4a16-g128", False)):
        target = tmp_path / preset
        code, _, err = say("quantize", "sample", "--format", preset, *some, "--out", target)
        assert code == 0, err
        assert ("text.txt gives 32 tokens" in err) is is_read
        assert ("Nothing here needs a text: text.txt is unread." in err) is not is_read
        assert ("the number of pieces and the length of pieces given for it" in err) is not is_read


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--seed", "3"), "the seed given for it will not be used"),
        (("--samples", "2", "--imatrix", "auto"), "the number of pieces given for it will not be"),
        ((), ""),
        (("--method", "gptq", "--samples", "2", "--length", "16", "--seed", "3"), ""),
    ],
)
def test_that_pieces_of_a_text_are_told_of_where_nothing_is_shown_them(
    say, tmp_path, options, told
):
    base = ("quantize", "sample", "--format", "Q4_0", "--no-evaluate")
    code, _, err = say(*base, *options, "--out", tmp_path / "made.gguf")
    assert code == 0, err
    assert ("No method or format here is shown a text" in err) is bool(told)
    assert told in err


@pytest.mark.parametrize(
    ("preset", "percentile", "words"),
    [
        ("Q4_K_M", "99.9", "Q4_K_M stores no ranges of inputs"),
        ("fp8", "99.9", "fp8 stores no ranges of inputs"),
        ("fp8-static", "0.9999", "A range cannot hold 0.9999 % of the inputs"),
        ("fp8-static", "100.5", "A range cannot hold 100.5 %"),
        ("fp8-static", "nan", "A range cannot hold nan %"),
    ],
)
def test_that_a_percentile_without_a_meaning_is_refused(say, preset, percentile, words):
    options = ("--percentile", percentile, "--dry-run")
    code, out, err = say("quantize", "sample", "--format", preset, *options)
    assert (code, out) == (2, "")
    assert words in err


def test_that_a_percentile_that_changes_nothing_is_taken_by_all(say):
    code, _, err = say(
        "quantize", "sample", "--format", "Q4_K_M,fp8", "--percentile", "100", "--dry-run"
    )
    assert code == 0, err


@pytest.mark.parametrize(("option", "least"), [("--seed", 0), ("--samples", 1)])
def test_that_a_number_out_of_range_is_refused_with_the_least_that_is_allowed(
    say, option, least, capsys
):
    with pytest.raises(SystemExit, match="2"):
        say("quantize", "sample", "--format", "w4a16-g128", option, "-1")
    assert f"a whole number from {least} up" in capsys.readouterr().err


def test_that_matrices_that_meet_too_few_tokens_are_told_of(say, tmp_path):
    few = ("--method", "gptq", "--samples", "1", "--length", "16", "--no-evaluate")
    target = tmp_path / "folder"
    code, _, err = say("quantize", "sample", "--format", "w4a16-g128", *few, "--out", target)
    assert code == 0, err
    assert "56 matrices met too few tokens of the text to learn from, and were rounded" in err
