"""The command line as a person or a script meets it: real processes, exit codes, one document."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from app.commands.program import run
from app.core.events import Started
from app.core.job import Job, Output, State
from app.core.places import jobs_folder, sample_model
from app.core.recipe import Recipe
from app.core.store import JobStore
from app.formats import PRESETS


def nibble(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "app", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def test_that_formats_lists_every_preset_and_marks_one_as_usual(say):
    code, out, _ = say("formats")
    assert code == 0
    assert all(name in out for name in PRESETS)
    assert [line.split()[0] for line in out.splitlines() if " * " in f"{line} "][:1] == ["Q4_K_M"]
    code, out, _ = say("formats", "--json")
    assert {row["name"] for row in json.loads(out)} == set(PRESETS)


def test_that_hardware_is_one_document(say):
    code, out, _ = say("hardware", "--json")
    machine = json.loads(out)
    assert code == 0
    assert machine["cpu"]["threads"] >= 1
    assert 0 < machine["memory"]["free"] <= machine["memory"]["total"]
    assert machine["disks"][0]["free"] > 0
    assert say("hardware")[0] == 0


def test_that_inspect_knows_the_sample_and_sizes_every_format(say):
    code, out, _ = say("inspect", "sample", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["model"]["architecture"].startswith("Llama")
    assert found["model"]["layers"] == 8
    sizes = {row["preset"]: row["nbytes"] for row in found["choices"]}
    assert sizes["F16"] > sizes["Q8_0"] > sizes["Q5_K_M"] > sizes["Q4_K_M"] > sizes["Q4_0"] > 0
    assert "Q4_K_M" in say("inspect", "sample")[1]


def test_that_a_model_goes_in_and_a_gguf_comes_out(say, tmp_path):
    target = tmp_path / "sample.gguf"
    done = nibble("quantize", "sample", "--format", "q4_k_m", "--out", target, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert target.stat().st_size == report["bytes_after"] < report["bytes_before"] / 2
    assert report["quality"], (report["notes"], done.stderr)
    assert report["quality"]["kl_mean"] > 0
    assert "Traceback" not in done.stderr
    listed = json.loads(say("jobs", "--json")[1])
    assert [job["state"] for job in listed] == ["finished"]
    assert [result["target"] for result in listed[0]["results"]] == [str(target)]
    code, out, err = say("evaluate", "sample", target, "--tokens", "1024", "--json")
    assert code == 0, err
    document = json.loads(out)
    assert 0 < document["quality"]["kl_mean"] < 1
    assert {row["name"] for row in document["tensors"]} >= {"model.embed_tokens.weight"}


def test_that_the_file_is_named_after_model_and_format(tmp_path):
    done = nibble(
        "quantize", sample_model(), "--format", "Q8_0", "--no-evaluate",
        cwd=tmp_path, env={"PYTHONPATH": str(Path(__file__).parents[2]), **_environment()},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [path.suffix for path in tmp_path.iterdir()] == [".gguf"]
    assert "Q8_0" in next(tmp_path.iterdir()).name


def _environment():
    import os

    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}


def test_that_a_pure_file_has_one_type_for_every_matrix(say, tmp_path):
    target = tmp_path / "p.gguf"
    options = ("--no-evaluate", "--pure", "--out", target, "--json")
    code, out, _ = say("quantize", "sample", "--format", "Q4_K_M", *options)
    assert code == 0
    kinds = {row["encoding"] for row in json.loads(out)["tensors"] if len(row["shape"]) > 1}
    assert kinds == {"Q4_K"}


def test_that_an_existing_file_is_kept(say, tmp_path):
    target = tmp_path / "p.gguf"
    target.write_text("precious")
    options = ("--format", "Q8_0", "--no-evaluate", "--out", target)
    code, _, err = say("quantize", "sample", *options)
    assert code != 0
    assert "already" in err
    assert target.read_text() == "precious"
    assert say("quantize", "sample", *options, "--overwrite")[0] == 0
    assert target.read_bytes()[:4] == b"GGUF"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("inspect", "/no/such/place"), "/no/such/place"),
        (("quantize", "/no/such/place", "--format", "Q8_0"), "/no/such/place"),
        (("quantize", "sample", "--format", "Q9"), "Q9"),
        (("evaluate", "sample", "/no/such/file.gguf"), "/no/such/file.gguf"),
        (("evaluate", "sample", "sample", "--text", "/no/text"), "/no/text"),
    ],
)
def test_that_bad_input_is_one_clear_line_and_code_2(say, arguments, said):
    code, out, err = say(*arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert said in err
    assert len(err.splitlines()) == 1


def test_that_bad_input_is_a_document_for_programs(say):
    code, out, _ = say("inspect", "/no/such/place", "--json")
    assert code == 2
    assert set(json.loads(out)["error"]) == {"title", "hint", "details"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("quantize",),
        ("quantize", "sample"),
        ("quantize", "sample", "--format", "Q8_0", "--threads", "0"),
        ("evaluate", "sample", "sample", "--tokens", "-5"),
        ("evaluate", "sample", "sample", "--tokens", "many"),
    ],
)
def test_that_bad_usage_ends_with_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        run(list(arguments))
    assert end.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_that_a_failed_job_ends_with_code_1_and_can_be_listed(say, tmp_path, monkeypatch):
    from app.core import partial

    monkeypatch.setattr(partial, "free_bytes", lambda _: 1000)
    code, _, err = say("quantize", "sample", "--format", "Q8_0", "--out", tmp_path / "x.gguf")
    assert code == 1
    assert "too full" in err
    assert json.loads(say("jobs", "--json")[1])[0]["state"] == "failed"


def test_that_our_own_mistakes_are_one_line_too_with_the_details_in_a_file(say, monkeypatch, home):
    monkeypatch.setattr("app.devices.look", lambda _: 1 / 0)
    code, _, err = say("hardware")
    assert code == 1
    assert len(err.splitlines()) == 1
    assert "ZeroDivisionError" in (home / "last-error.txt").read_text()


def test_that_a_job_cut_off_goes_on_as_the_same_job(say, tmp_path, monkeypatch):
    from app.core import partial

    options = ("quantize", "sample", "--format", "Q8_0", "--no-evaluate", "--out", tmp_path / "x")
    with monkeypatch.context() as patch:
        patch.setattr(partial, "free_bytes", lambda _: 1000)
        assert say(*options)[0] == 1
    assert say(*options)[0] == 0
    assert [job["state"] for job in json.loads(say("jobs", "--json")[1])] == ["finished"]


def test_that_a_command_leaves_the_windows_running_job_alone(say, tmp_path):
    store = JobStore(jobs_folder())
    store.create(Job("w", str(sample_model()), (Output("elsewhere.gguf", Recipe("Q8_0")),)))
    store.append("w", Started(1, "cpu"))
    options = ("--format", "Q8_0", "--no-evaluate", "--out", tmp_path / "x.gguf")
    assert say("quantize", "sample", *options)[0] == 0
    assert store.read("w").state is State.RUNNING


def test_that_a_pickle_folder_is_refused_with_an_explanation(say, tmp_path):
    shutil.copy(sample_model() / "config.json", tmp_path / "config.json")
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x02}q\x00.")
    code, _, err = say("inspect", tmp_path)
    assert code == 2
    assert "safetensors" in err


def test_that_without_a_display_the_command_line_is_pointed_at():
    environment = {
        key: value
        for key, value in _environment().items()
        if key not in {"DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"}
    }
    if sys.platform != "linux":
        pytest.skip("every desktop of this system has a display")
    root = Path(__file__).parents[2]
    done = nibble(env=environment, cwd=root)
    assert done.returncode == 2
    assert "quantize sample --format Q4_K_M" in done.stderr
