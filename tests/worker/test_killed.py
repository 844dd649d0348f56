"""kill -9 at random moments: nothing partial under the final name, and the same bytes at last."""

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from checkpoints import write_llama

from app.core.events import Cancelled, Failed, Finished, Progress, Started, TensorDone, decode
from app.core.job import Job
from app.core.places import jobs_folder
from app.core.recipe import Recipe
from app.core.store import JobStore

WORKER = [sys.executable, "-m", "app", "worker"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Large enough that a kill can hit any part of the work."""
    folder = tmp_path_factory.mktemp("model")
    write_llama(folder, layers=8, hidden=1024, inner=2816)
    return folder


def start(job):
    JobStore(jobs_folder()).folder(job.id).mkdir(parents=True, exist_ok=True)
    worker = subprocess.Popen(WORKER, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    worker.stdin.write(job.request().encode() + b"\n")
    worker.stdin.flush()
    return worker


def finish(job):
    """Run to the end; every event."""
    worker = start(job)
    events = [decode(line) for line in worker.stdout]
    worker.stdin.close()
    assert worker.wait() == 0, events[-1]
    return events


@pytest.fixture
def job(model, tmp_path):
    return Job("j", str(model), str(tmp_path / "out.gguf"), Recipe("Q4_K_M"), evaluate=False)


@pytest.fixture
def golden(model, tmp_path):
    whole = Job("w", str(model), str(tmp_path / "whole.gguf"), Recipe("Q4_K_M"), evaluate=False)
    finish(whole)
    return (tmp_path / "whole.gguf").read_bytes()


def kill_at_random_moments(job, golden, kills, seed):
    """Kill, start again, and begin anew whenever the job gets to its end; how often it resumed."""
    target, generator, resumed = Path(job.target), random.Random(seed), 0
    source = {path: path.stat().st_mtime_ns for path in Path(job.source).iterdir()}
    for _ in range(kills):
        partial = target.with_name("out.gguf.partial.journal")
        resumed += partial.exists() and len(partial.read_bytes().splitlines()) > 1
        worker = start(job)
        for line in worker.stdout:
            event = decode(line)
            if isinstance(event, TensorDone | Finished) or (
                isinstance(event, Progress) and event.phase == "quantize"
            ):
                break
        time.sleep(generator.uniform(0, 1.0))
        worker.kill()
        worker.communicate()
        if target.exists():
            assert target.read_bytes() == golden
            target.unlink()
            (jobs_folder() / job.id / "written.json").unlink()
    finish(job)
    assert target.read_bytes() == golden
    assert {path: path.stat().st_mtime_ns for path in Path(job.source).iterdir()} == source
    return resumed


def test_that_a_killed_worker_loses_nothing(job, golden):
    assert kill_at_random_moments(job, golden, kills=3, seed=1) > 0


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_that_fifty_kills_lose_nothing(job, golden):
    assert kill_at_random_moments(job, golden, kills=50, seed=2) > 25


def test_that_a_worker_follows_its_window_and_keeps_what_is_done(job):
    worker = start(job)
    next(line for line in worker.stdout if isinstance(decode(line), TensorDone))
    began = time.monotonic()
    worker.stdin.close()
    worker.stdout.read()
    worker.wait()
    assert time.monotonic() - began < 5
    assert not Path(job.target).exists()
    assert Path(job.target + ".partial").exists()
    assert isinstance(finish(job)[-1], Finished)


def test_that_cancelling_leaves_nothing(job):
    worker = start(job)
    next(line for line in worker.stdout if isinstance(decode(line), TensorDone))
    worker.stdin.write(b"cancel\n")
    worker.stdin.flush()
    events = [decode(line) for line in worker.stdout]
    worker.stdin.close()
    assert worker.wait() == 0
    assert events[-1] == Cancelled()
    assert list(Path(job.target).parent.iterdir()) == []


def test_that_a_worker_speaks_twice_a_second_and_says_how_much_memory_it_takes(job):
    events = finish(job)
    assert isinstance(events[0], Started)
    beats = [event for event in events if isinstance(event, Progress)]
    assert beats
    assert all(10_000_000 < event.host_bytes < 4_000_000_000 for event in beats)


def test_that_bad_input_is_one_failed_event_and_nothing_on_the_screen(job, tmp_path):
    bad = Job("b", str(tmp_path / "nothing"), job.target, job.recipe)
    worker = start(bad)
    out, _ = worker.communicate()
    events = [decode(line) for line in out.splitlines()]
    assert worker.returncode == 1
    assert isinstance(events[-1], Failed)
    assert "nothing" in events[-1].title


def test_that_a_stray_print_cannot_break_the_protocol(job, tmp_path):
    code = (
        "import app.worker.convert as c, app.worker.main as m; real = c.convert\n"
        "def noisy(*a):\n    print('stray'); yield from real(*a)\n"
        "c.convert = noisy; raise SystemExit(m.main())"
    )
    bad = Job("b", str(tmp_path / "nothing"), job.target, job.recipe)
    (jobs_folder() / "b").mkdir(parents=True)
    worker = subprocess.run(
        [sys.executable, "-c", code],
        input=bad.request().encode() + b"\n",
        capture_output=True,
        check=False,
    )
    assert [json.loads(line)["event"] for line in worker.stdout.splitlines()] == [
        "Started",
        "Failed",
    ]
    assert b"stray" in worker.stderr


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
    job = Job("m", str(tmp_path / "big"), str(tmp_path / "big.gguf"), Recipe("Q4_K_M"))
    worker = start(Job.from_request(job.request().replace('"evaluate": true', '"evaluate": false')))
    peak = 0
    for _ in worker.stdout:
        peak = max(peak, _peak_bytes(worker.pid))
    worker.communicate()
    sys.stderr.write(f"\npeak {peak / 1e9:.2f} GB, imports {base / 1e9:.2f} GB\n")
    assert (tmp_path / "big.gguf").exists()
    assert 0 < peak - base < 1e9
