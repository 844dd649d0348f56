import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from app.core.errors import AppError, BadModelFile, NotEnoughSpace, Unsupported
from app.core.events import Finished, Note, Progress, ResultDone, TensorDone
from app.core.machine import Cpu, Machine, Space
from app.core.recipe import Recipe
from app.core.report import load_report
from app.formats import find_preset
from app.models import open_model
from app.worker.convert import SkipMeasuring, convert, discard, is_measuring


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "job"
    made.mkdir()
    return made


def names(target):
    return sorted(path.name for path in Path(target).parent.iterdir())


def test_that_a_job_ends_in_the_planned_file_and_a_report(make_job, folder):
    job = make_job()
    events = list(convert(job, folder))
    assert names(job.target) == ["Q4_K_M.gguf"]
    plan = find_preset("Q4_K_M")[0].prepare(open_model(Path(job.source))).plan(Recipe("Q4_K_M"))
    assert Path(job.target).stat().st_size == plan.total_bytes
    assert isinstance(events[-1], Finished)
    assert events[-2] == ResultDone(0, str(folder / "report-0.json"))
    report = load_report(folder / "report-0.json")
    assert report.bytes_after == plan.total_bytes
    assert [row.name for row in report.tensors] == [tensor.name for tensor in plan.tensors]
    assert all(0 <= row.error < 0.1 for row in report.tensors)
    told = {event.tensor for event in events if isinstance(event, TensorDone)}
    assert told == {tensor.name for tensor in plan.tensors}
    shares = [event.overall for event in events if isinstance(event, Progress)]
    assert shares == sorted(shares)


def test_that_measuring_tells_the_loss(make_job, folder):
    list(convert(make_job("Q8_0", evaluate=True), folder))
    report = load_report(folder / "report-0.json")
    assert 0 < report.quality.kl_mean < 0.01
    assert report.quality.perplexity_before < 200
    assert report.quality.same_top > 0.95
    assert report.samples
    assert report.samples[0].before


def test_that_nothing_has_the_final_name_before_the_end(make_job, folder):
    job = make_job()
    for event in convert(job, folder):
        if not isinstance(event, ResultDone | Finished):
            assert not Path(job.target).exists() or is_measuring(event)


@pytest.mark.parametrize("stop_after", [1, 4, 9, 30])
def test_that_a_job_stopped_anywhere_ends_in_the_same_bytes(
    make_job, folder, tmp_path, digest, stop_after
):
    whole = make_job(target=tmp_path / "whole.gguf")
    list(convert(whole, folder))
    (folder / "written-0.json").unlink()
    job = make_job()
    events = convert(job, folder)
    for _ in range(stop_after):
        next(events)
    events.close()
    assert not Path(job.target).exists()
    list(convert(job, folder))
    assert digest(Path(job.target)) == digest(Path(whole.target))


def test_that_a_job_cut_off_while_measuring_does_not_convert_again(make_job, folder):
    job = make_job(evaluate=True)
    events = convert(job, folder)
    while not is_measuring(next(events)):
        pass
    events.close()
    before = Path(job.target).stat().st_mtime_ns
    again = list(convert(job, folder))
    assert not any(isinstance(event, TensorDone) for event in again)
    assert Path(job.target).stat().st_mtime_ns == before
    assert load_report(folder / "report-0.json").quality


def test_that_measuring_can_be_skipped(make_job, folder):
    job = make_job(evaluate=True)
    events = convert(job, folder)
    while not is_measuring(next(events)):
        pass
    rest = [events.throw(SkipMeasuring()), *events]
    assert isinstance(rest[0], Note)
    report = load_report(folder / "report-0.json")
    assert report.quality is None
    assert report.tensors


def test_that_a_given_up_job_leaves_nothing(make_job, folder):
    job = make_job()
    events = convert(job, folder)
    for _ in range(8):
        next(events)
    events.close()
    assert names(job.target) != []
    discard(job)
    assert names(job.target) == []


def test_that_the_source_is_not_touched(make_job, folder, sample, digest):
    before = {path: (digest(path), path.stat().st_mtime_ns) for path in sample.iterdir()}
    list(convert(make_job(), folder))
    assert {path: (digest(path), path.stat().st_mtime_ns) for path in sample.iterdir()} == before


def test_that_a_source_changed_meanwhile_is_noticed(make_job, folder, sample):
    job = make_job()
    events = convert(job, folder)
    next(event for event in events if isinstance(event, TensorDone))
    os.utime(sample / "model.safetensors", (1, 1))
    with pytest.raises(BadModelFile, match="changed"):
        list(events)
    assert not Path(job.target).exists()


def test_that_an_existing_file_is_replaced_only_when_allowed(make_job, folder):
    job = make_job()
    Path(job.target).parent.mkdir()
    Path(job.target).write_text("precious")
    with pytest.raises(AppError, match="a file called"):
        list(convert(job, folder))
    assert Path(job.target).read_text() == "precious"
    list(convert(make_job(overwrite=True), folder))
    assert Path(job.target).read_bytes()[:4] == b"GGUF"


def test_that_the_source_is_never_the_target(make_job, folder, sample):
    with pytest.raises(Unsupported, match="would replace the model"):
        list(convert(make_job(target=sample / "model.safetensors", overwrite=True), folder))


def test_that_a_broken_weight_is_named(make_job, folder, sample):
    path = sample / "model.safetensors"
    weights = load_file(path)
    weights["model.layers.3.mlp.up_proj.weight"][5, 7] = torch.inf
    save_file(weights, path, {"format": "pt"})
    job = make_job()
    with pytest.raises(BadModelFile, match=r"blk\.3\.ffn_up\.weight"):
        list(convert(job, folder))
    assert not Path(job.target).exists()


def test_that_the_recipe_method_and_versions_are_in_the_report(make_job, folder):
    list(convert(make_job("Q8_0"), folder))
    report = json.loads((folder / "report-0.json").read_text())
    assert report["recipe"]["preset"] == "Q8_0"
    assert report["recipe"]["method"] == "nearest"
    assert report["versions"]["torch"] == torch.__version__


def test_that_a_job_that_memory_cannot_hold_is_refused_with_numbers(make_job, folder, monkeypatch):
    machine = Machine(Cpu("c", 2, 2), Space("Memory", 8 * 10**9, 10**8))
    monkeypatch.setattr("app.worker.forecast.look", lambda _: machine)
    job = make_job()
    with pytest.raises(NotEnoughSpace, match=r"at least \d+ MB of memory, and 100 MB are free"):
        list(convert(job, folder))
    assert not Path(job.target).parent.exists()


def test_that_a_job_that_memory_may_not_hold_begins_with_a_note(make_job, folder, monkeypatch):
    machine = Machine(Cpu("c", 2, 2), Space("Memory", 8 * 10**9, 5 * 10**8))
    monkeypatch.setattr("app.worker.forecast.look", lambda _: machine)
    events = list(convert(make_job(), folder))
    assert any(
        isinstance(event, Note) and "more memory than is free" in event.text for event in events
    )
    assert isinstance(events[-1], Finished)
