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


def test_that_a_text_is_for_the_method_that_wants_to_see_it(say, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("Some words. " * 50, encoding="utf-8")
    base = ("quantize", "sample", "--format", "Q4_K_M", "--calibration", text, "--dry-run")
    assert "importance matrix is computed first" in say(*base)[1]
    _, out, _ = say(*base, "--method", "gptq")
    assert "importance matrix" not in out
    assert "gptq sees the model at work" in out
