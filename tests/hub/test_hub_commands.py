"""From a name on the hub to a finished file, through the commands."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hub_parts import QUICK, sample_files
from local_hub import Fault, Repo

from app.commands.program import run
from app.core.events import Progress, decode
from app.core.hub import Convertibility, Convertible, HubModelDetails, SearchPage
from app.core.model import Inspection
from app.core.places import sample_model


@pytest.fixture
def say(say, hub, monkeypatch):
    """The same with a hub of our own."""
    monkeypatch.setattr("app.hub.client.Patience", lambda: QUICK)
    return say


def test_that_a_dry_run_reads_the_headers_of_a_model_of_the_hub_only(hub, say):
    asked = ("--dry-run", "--format", "Q4_K_M", "--json")
    code, out, err = say("quantize", "org/sample", *asked)
    assert code == 0, err
    there = json.loads(out)
    here = json.loads(say("quantize", "sample", *asked)[1])
    assert there["tensors"] == here["tensors"]
    assert there["bytes_after"] == here["bytes_after"]


def test_that_a_model_of_the_hub_is_told_the_time_of_its_importance_matrix(hub, say):
    code, out, err = say("quantize", "org/sample", "--dry-run", "--format", "IQ2_XS", "--json")
    assert code == 0, err
    assert json.loads(out)["needs"]["importance"]["guessed"]


def test_that_a_model_of_the_hub_goes_in_and_a_gguf_comes_out(hub, tmp_path, home):
    target = tmp_path / "out.gguf"
    command = [sys.executable, "-m", "app", "quantize", "org/sample", "--format", "Q4_K_M"]
    command += ["--out", str(target), "--json", "--no-evaluate"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["model"] == "sample"
    assert target.stat().st_size == report["bytes_after"]
    direct = tmp_path / "direct.gguf"
    options = ("--format", "Q4_K_M", "--out", str(direct), "--no-evaluate")
    assert run(["quantize", report["source"], *options]) == 0
    assert direct.read_bytes() == target.read_bytes()
    folder = Path(report["source"])
    assert folder.is_relative_to(home / "models" / "org--sample")
    for name, content in sample_files().items():
        assert (folder / name).read_bytes() == content
    assert [path.name for path in folder.iterdir() if ".part" in path.name] == []


def test_that_inspecting_reads_headers_and_no_weights(say, hub):
    code, out, _ = say("inspect", "org/sample", "--json")
    document = json.loads(out)
    found = Inspection.from_json(document)
    here = Inspection.from_json(json.loads(say("inspect", sample_model(), "--json")[1]))
    assert code == 0
    for one, other in zip(found.choices, here.choices, strict=True):
        same_file = bool(one.extension)  # a folder's card names the place that it comes from
        assert one == (other if same_file else replace(other, nbytes=one.nbytes))
        assert abs(one.nbytes - other.nbytes) < 200
    assert found.model.path == "org/sample"
    assert found.model.name == "sample"
    assert found.model.nbytes == here.model.nbytes
    details = HubModelDetails.from_json(document["hub"]["details"])
    assert details.commit == hub.repos["org/sample"].commit
    assert Convertible.from_json(document["hub"]["convertible"]).word is Convertibility.YES
    ranges = [seen.headers["range"] for seen in hub.requests("content", "model.safetensors")]
    assert ranges == ["bytes=0-131071"]


def test_that_a_model_that_was_looked_at_is_not_asked_for_again(say, hub):
    say("inspect", "org/sample")
    before = len(hub.requests("content")), len(hub.requests("hub", "tokenizer"))
    say("inspect", "org/sample")
    assert (len(hub.requests("content")), len(hub.requests("hub", "tokenizer"))) == before


def test_that_a_search_is_a_table_and_a_document(say):
    code, out, _ = say("search", "sample")
    assert code == 0
    assert "org/sample" in out
    page = SearchPage.from_json(json.loads(say("search", "--json")[1]))
    assert [model.id for model in page.models] == ["org/sample"]
    assert "Nothing found" in say("search", "no such thing")[1]


def test_that_a_download_goes_where_it_is_told_and_is_not_repeated(say, hub, tmp_path):
    to = tmp_path / "there"
    code, out, _ = say("download", "org/sample", "--to", to, "--json")
    document = json.loads(out)
    assert code == 0
    assert document["folder"] == str(to)
    assert {Path(name).name for name in document["files"]} == set(sample_files())
    assert all(Path(name).exists() for name in document["files"])
    before = len(hub.requests("content"))
    assert say("download", "org/sample", "--to", to)[0] == 0
    assert len(hub.requests("content")) == before


def test_that_a_program_can_follow_a_download(say, tmp_path):
    _, _, err = say("download", "org/sample", "--to", tmp_path, "--events")
    events = [decode(line) for line in err.splitlines()]
    assert isinstance(events[-1], Progress)
    assert events[-1].overall == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("inspect", "org/none"), 1, "org/none"),
        (("download", "nonsense"), 2, "nonsense"),
        (("download", "org/sample@elsewhere"), 2, "such version of org/sample"),
        (("download", "org/sample", "--file", "x.gguf"), 2, "x.gguf"),
        (("search", "x", "--sort", "colour"), 2, "colour"),
        (("quantize", "org/none", "--format", "Q8_0"), 1, "org/none"),
    ],
)
def test_that_what_is_wrong_is_said_in_one_line(say, arguments, code, said):
    found, _, err = say(*arguments)
    assert found == code
    assert said in err
    assert [line for line in err.splitlines() if line.startswith("error: ")] == err.splitlines()[
        -1:
    ]


def test_that_a_model_that_cannot_be_converted_says_why_and_nothing_is_downloaded(say, hub, home):
    hub.repos["org/old"] = Repo("org/old", {"config.json": b"{}", "pytorch_model.bin": b"\x80"})
    code, out, _ = say("inspect", "org/old", "--json")
    document = json.loads(out)
    assert code == 0
    assert document["model"] is None
    assert document["hub"]["convertible"]["word"] == "no"
    assert "old format" in document["hub"]["convertible"]["sentences"][0]
    code, _, err = say("quantize", "org/old", "--format", "Q8_0")
    assert code == 2
    assert "old format" in err
    assert hub.requests("content") == []
    assert not (home / "models").exists()


def test_that_a_job_that_was_cut_off_goes_on_with_the_same_version(say, hub, tmp_path):
    """Even though the model has moved on in between."""
    options = ("--format", "Q8_0", "--no-evaluate", "--out", tmp_path / "x.gguf")
    hub.spoil("content", Fault(times=3))  # the tokenizer and the header, then the tokenizer
    hub.spoil("content", Fault(cut=3_000_000))
    hub.spoil("content", Fault(status=403, times=-1))
    code, _, err = say("quantize", "org/sample", *options)
    assert code == 1
    assert "has trouble" in err
    hub.faults.clear()
    old = hub.repos["org/sample"]
    hub.repos["org/sample"] = Repo("org/sample", {**old.files, "README.md": b"new"}, past=[old])
    code, out, _ = say("quantize", "org/sample", *options, "--json")
    assert code == 0
    assert old.commit in json.loads(out)["source"]
    assert 3_000_000 in [seen.first for seen in hub.requests("content", "model.safetensors")]
    assert [job["state"] for job in json.loads(say("jobs", "--json")[1])] == ["finished"]
