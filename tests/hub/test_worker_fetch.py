"""A job that begins on the hub, in a real worker."""

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from local_hub import Fault, Repo
from tiny_models import convert as write_gguf

from app.core.events import Cancelled, Finished, Note, Progress, Started, TensorDone, decode
from app.core.job import Job, Output
from app.core.places import jobs_folder, sample_model, user_data
from app.core.recipe import Recipe
from app.core.store import JobStore
from app.worker.convert import convert


@pytest.fixture
def job(hub, tmp_path):
    made = Job(
        "j", "org/sample", (Output(str(tmp_path / "x.gguf"), Recipe("Q4_0")),), evaluate=False
    )
    JobStore(jobs_folder()).create(made)
    return made


def test_that_progress_goes_from_the_download_to_the_end_without_a_step_back(job):
    events = list(convert(job, jobs_folder() / job.id))
    placed = [event for event in events if isinstance(event, Progress) and event.overall]
    shares = [event.overall for event in placed]
    assert shares == sorted(shares)
    assert [*dict.fromkeys(event.phase for event in placed)] == ["download", "quantize", "verify"]
    downloaded = max(event.overall for event in placed if event.phase == "download")
    assert 0.5 < downloaded < 1  # of so small a model, fetching is most of the work
    assert shares[-1] == pytest.approx(1.0)
    assert any(isinstance(event, Note) and "checked every file" in event.text for event in events)
    assert isinstance(events[-1], Finished)


def test_that_a_model_that_is_here_is_not_downloaded_again(hub, job, tmp_path):
    list(convert(job, jobs_folder() / job.id))
    Path(job.target).unlink()
    (jobs_folder() / job.id / "written-0.json").unlink()
    hub.seen.clear()
    events = list(convert(job, jobs_folder() / job.id))
    assert hub.seen == []
    assert "download" not in {event.phase for event in events if isinstance(event, Progress)}
    assert sum(isinstance(event, TensorDone) for event in events) > 10


def test_that_a_gguf_file_of_the_hub_becomes_a_smaller_one(hub, job, tmp_path):
    write_gguf(sample_model(), tmp_path / "m-F16.gguf", Recipe("F16"))
    body = (tmp_path / "m-F16.gguf").read_bytes()
    hub.repos["org/g"] = Repo("org/g", {"m-F16.gguf": body, "m-Q2_K.gguf": b"GGUF"})
    list(convert(replace(job, source="org/g"), jobs_folder() / job.id))
    outputs = (Output(str(tmp_path / "direct.gguf"), job.recipe),)
    direct = replace(job, source=str(tmp_path / "m-F16.gguf"), outputs=outputs)
    (tmp_path / "report").mkdir()
    list(convert(direct, tmp_path / "report"))
    assert Path(job.target).read_bytes() == Path(direct.target).read_bytes()
    assert hub.requests("content", "Q2_K") == []


def test_that_a_download_can_be_cancelled_at_once_and_goes_on_later(hub, job):
    hub.spoil("content", Fault(times=3))  # tokenizer, header, tokenizer
    hub.spoil("content", Fault(rate=500_000, times=-1))
    command = [sys.executable, "-m", "app", "worker"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        worker.stdin.write(job.request().encode() + b"\n")
        worker.stdin.flush()
        events = map(decode, worker.stdout)
        assert isinstance(next(events), Started)
        next(event for event in events if isinstance(event, Progress) and event.done > 500_000)
        began = time.monotonic()
        worker.stdin.write(b"cancel\n")
        worker.stdin.flush()
        assert list(events)[-1] == Cancelled()
        assert time.monotonic() - began < 2
        assert worker.wait() == 0
    parts = list((user_data() / "models").rglob("model.safetensors.part"))
    assert len(parts) == 1
    hub.faults.clear()
    list(convert(job, jobs_folder() / job.id))
    assert hub.requests("content", "model.safetensors")[-1].first > 300_000
    assert not parts[0].exists()
    assert Path(job.target).exists()
