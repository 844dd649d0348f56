"""kill -9 at random moments: nothing partial under the final name, and the same bytes at last."""

import random
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import gguf
import pytest
import torch
from checkpoints import write_llama
from restless_worker import COMMAND as RESTLESS

from app.core.events import (
    FINAL,
    Cancelled,
    Failed,
    Finished,
    Progress,
    ResultDone,
    Started,
    TensorDone,
    decode,
)
from app.core.job import Job, Output
from app.core.places import jobs_folder
from app.core.recipe import AUTOMATIC, Recipe
from app.core.store import JobStore
from app.formats import find_preset
from app.formats.gguf.imatrix import ImportanceMatrix, Squares
from app.models import open_model
from app.worker.convert import convert

WORKER = [sys.executable, "-m", "app", "worker"]


LARGE = {"layers": 8, "hidden": 1024, "inner": 2816}
"""Enough work that a kill can hit any part of it."""
SMALL = {"layers": 8, "hidden": 512, "inner": 1536}
"""Enough for a worker that is restless."""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    write_llama(folder, **SMALL)
    return folder


@contextmanager
def started(job, command=WORKER):
    """A worker at its job, whose window is there until the end of the block."""
    JobStore(jobs_folder()).folder(job.id).mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as worker:
        worker.stdin.write(job.request().encode() + b"\n")
        worker.stdin.flush()
        try:
            yield worker
        finally:
            worker.kill()


def events_of(worker):
    for line in worker.stdout:
        yield decode(line)


def finish(job, command=WORKER, code=0):
    """Run to the end; every event."""
    with started(job, command) as worker:
        events = list(events_of(worker))
        assert worker.wait() == code, events[-1]
    return events


@pytest.fixture
def job(model, tmp_path):
    return job_of(model, tmp_path / "out", Recipe("Q4_K_M"))


@pytest.fixture
def large_job(tmp_path):
    write_llama(tmp_path / "model", **LARGE)
    return job_of(tmp_path / "model", tmp_path / "out", Recipe("Q4_K_M"))


def job_of(model, folder, *recipes, name="j"):
    outputs = tuple(Output(str(folder / f"{recipe.preset}.gguf"), recipe) for recipe in recipes)
    return Job(name, str(model), outputs, evaluate=False)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.gguf")}


def complete(job):
    """Run to the end in this process, which has loaded everything already."""
    folder = JobStore(jobs_folder()).folder(job.id)
    folder.mkdir(parents=True, exist_ok=True)
    assert list(convert(job, folder))[-1] == Finished()


def made_whole(job, folder):
    """The files that a job makes that nobody kills."""
    outputs = tuple(
        replace(output, target=str(folder / Path(output.target).name)) for output in job.outputs
    )
    complete(replace(job, id="w", outputs=outputs))
    return contents(folder)


def kill_at_random_moments(job, golden, kills, seed, command=WORKER, seconds=1.0):
    """Kill, start again, and begin anew whenever the job gets to its end; how often it did not."""
    folder, generator, resumed = Path(job.target).parent, random.Random(seed), 0
    source = {path: path.stat().st_mtime_ns for path in Path(job.source).iterdir()}
    for _ in range(kills):
        with started(job, command) as worker:
            wanted = TensorDone | ResultDone | Finished
            next(event for event in events_of(worker) if isinstance(event, wanted))
            time.sleep(generator.uniform(0, seconds))
        there = contents(folder)
        assert there.items() <= golden.items()
        journals = folder.glob("*.partial.journal")
        resumed += any(len(path.read_bytes().splitlines()) > 1 for path in journals)
        if there == golden:
            for name in golden:
                (folder / name).unlink()
            for mark in (jobs_folder() / job.id).glob("written-*.json"):
                mark.unlink()
    complete(job)
    assert contents(folder) == golden
    assert list(folder.glob("*.partial*")) == []
    assert {path: path.stat().st_mtime_ns for path in Path(job.source).iterdir()} == source
    return resumed


def test_that_a_killed_worker_loses_nothing(job, tmp_path):
    golden = made_whole(job, tmp_path / "whole")
    assert kill_at_random_moments(job, golden, 2, 1, RESTLESS, seconds=0.2) > 0


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_that_fifty_kills_lose_nothing(large_job, tmp_path):
    golden = made_whole(large_job, tmp_path / "whole")
    assert kill_at_random_moments(large_job, golden, kills=50, seed=2) > 25


def matrix_of(model, path):
    """An importance matrix of random numbers for every weight matrix."""
    plan = find_preset("Q8_0")[0].prepare(open_model(model)).plan(Recipe("Q8_0"))
    generator = torch.Generator().manual_seed(1)
    tensors = {
        tensor.name: Squares(torch.rand(1, tensor.shape[-1], generator=generator), torch.ones(1))
        for tensor in plan.tensors
        if len(tensor.shape) > 1
    }
    ImportanceMatrix(tensors, ("random",), 1, 512).save(path)
    return str(path)


def job_of_three(tmp_path, hidden, inner, split_bytes):
    """Three formats, one of them in parts, one weighed by importances."""
    model = tmp_path / "model"
    write_llama(model, layers=3, hidden=hidden, inner=inner)
    weighed = Recipe("Q4_K_M", importance=matrix_of(model, tmp_path / "m.gguf"))
    parts = Recipe("Q8_0", split_bytes=split_bytes)
    return job_of(model, tmp_path / "out", parts, weighed, Recipe("Q4_0"))


def test_that_a_killed_job_of_several_files_loses_nothing(tmp_path):
    job = job_of_three(tmp_path, 512, 1536, 5_000_000)
    golden = made_whole(job, tmp_path / "whole")
    assert len(golden) > 4
    assert kill_at_random_moments(job, golden, 2, 3, RESTLESS, seconds=0.2) > 0


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_that_thirty_kills_of_several_files_lose_nothing(tmp_path):
    job = job_of_three(tmp_path, 1024, 2816, 20_000_000)
    golden = made_whole(job, tmp_path / "whole")
    assert kill_at_random_moments(job, golden, kills=30, seed=4) > 15


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_that_a_job_killed_while_it_calibrates_finds_what_was_computed(sample, tmp_path):
    """On another kill after that, the matrix is found where it was kept."""
    job = job_of(sample, tmp_path / "out", Recipe("IQ2_XS", importance=AUTOMATIC))
    for phase in ("calibrate", "calibrate", "quantize"):
        with started(job) as worker:
            next(e for e in events_of(worker) if isinstance(e, Progress) and e.phase == phase)
            time.sleep(1)
    events = finish(job)
    assert not any(isinstance(e, Progress) and e.phase == "calibrate" for e in events)
    fields = gguf.GGUFReader(job.target).fields
    assert fields["quantize.imatrix.chunks_count"].contents() == 64
    assert made_whole(job, tmp_path / "whole") == contents(tmp_path / "out")


def test_that_a_worker_follows_its_window_and_keeps_what_is_done(job):
    with started(job) as worker:
        next(event for event in events_of(worker) if isinstance(event, TensorDone))
        began = time.monotonic()
        worker.stdin.close()
        worker.wait()
        assert time.monotonic() - began < 5
    assert not Path(job.target).exists()
    assert Path(job.target + ".partial").exists()
    complete(job)


def test_that_cancelling_leaves_nothing(job):
    with started(job) as worker:
        next(event for event in events_of(worker) if isinstance(event, TensorDone))
        worker.stdin.write(b"cancel\n")
        worker.stdin.flush()
        assert list(events_of(worker))[-1] == Cancelled()
        assert worker.wait() == 0
    assert list(Path(job.target).parent.iterdir()) == []


def test_that_a_worker_speaks_twice_a_second_and_says_how_much_memory_it_takes(job):
    events = finish(job)
    assert isinstance(events[0], Started)
    beats = [event for event in events if isinstance(event, Progress)]
    assert beats
    assert all(10_000_000 < event.host_bytes < 4_000_000_000 for event in beats)


def test_that_bad_input_is_one_failed_event_in_words(job, tmp_path):
    events = finish(replace(job, source=str(tmp_path / "nothing")), code=1)
    assert isinstance(events[-1], Failed)
    assert "nothing" in events[-1].title
    assert sum(isinstance(event, FINAL) for event in events) == 1


def test_that_a_stray_print_cannot_break_the_protocol(job, tmp_path):
    code = (
        "import app.worker.convert as c, app.worker.main as m; real = c.convert\n"
        "def noisy(*a):\n    print('stray'); yield from real(*a)\n"
        "c.convert = noisy; raise SystemExit(m.main())"
    )
    bad = replace(job, source=str(tmp_path / "nothing"))
    events = finish(bad, [sys.executable, "-c", code], code=1)
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Failed)


def _peak_bytes(pid):
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_that_a_large_model_takes_little_memory(tmp_path):
    """At most 1 GB beyond the interpreter and torch, for a checkpoint of 4 GB."""
    nbytes = write_llama(
        tmp_path / "big", layers=18, hidden=4096, inner=14336, heads=32, kv_heads=8
    )
    assert nbytes > 4e9
    code = "import torch, numba, psutil; print(psutil.Process().memory_info().rss)"
    base = int(subprocess.check_output([sys.executable, "-c", code]))
    job = Job(
        "m",
        str(tmp_path / "big"),
        (Output(str(tmp_path / "big.gguf"), Recipe("Q4_K_M")),),
        evaluate=False,
    )
    peak = 0
    with started(job) as worker:
        for event in events_of(worker):
            peak = max(peak, _peak_bytes(worker.pid))
            last = event
    sys.stderr.write(f"\npeak {peak / 1e9:.2f} GB, imports {base / 1e9:.2f} GB\n")
    assert isinstance(last, Finished)
    assert 0 < peak - base < 1e9
