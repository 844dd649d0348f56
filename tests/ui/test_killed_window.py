"""kill -9 of the window while a job runs: the worker follows, the queue is there again, and the
job goes on to the same bytes."""

import random
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from checkpoints import write_llama
from restless_worker import COMMAND as RESTLESS

from app.core.job import Job, Output, State
from app.core.places import jobs_folder
from app.core.recipe import Recipe
from app.core.store import JobStore
from app.worker.convert import convert

WORKER = [sys.executable, "-m", "app", "worker"]
WINDOW = """
import sys
from PySide6.QtCore import QCoreApplication
from app.core.places import jobs_folder
from app.core.store import JobStore
from app.ui.job_queue import JobQueue
app = QCoreApplication(sys.argv)
queue = JobQueue(JobStore(jobs_folder()), sys.argv[1:])
queue.changed.connect(lambda job: print(job.state, flush=True))
queue.emptied.connect(app.quit)
queue.begin()
app.exec()
queue.close()
"""


@pytest.fixture
def job(tmp_path, request):
    layers, hidden, inner = getattr(request, "param", (8, 512, 1536))
    write_llama(tmp_path / "model", layers=layers, hidden=hidden, inner=inner)
    target = str(tmp_path / "out.gguf")
    job = Job("j", str(tmp_path / "model"), (Output(target, Recipe("Q4_K_M")),), evaluate=False)
    JobStore(jobs_folder()).create(job)
    return job


@pytest.fixture
def golden(job, tmp_path):
    (tmp_path / "other").mkdir()
    whole = replace(job, id="w", outputs=(Output(str(tmp_path / "whole.gguf"), job.recipe),))
    for _ in convert(whole, tmp_path / "other"):
        pass
    return (tmp_path / "whole.gguf").read_bytes()


@contextmanager
def window(command):
    with subprocess.Popen(
        [sys.executable, "-c", WINDOW, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def has_begun(job):
    """Whether its worker is at work; a journal may be of a run that was killed before."""
    journal = Path(job.target + ".partial.journal")
    written = journal.exists() and len(journal.read_bytes().splitlines()) > 1
    return written and JobStore(jobs_folder()).jobs()[0].state is State.RUNNING


def kill_while_running(job, seconds, command):
    """Whether the job was still at work; its worker has to follow the window within 2 s."""
    with window(command) as process:
        next((line for line in process.stdout if "running" in line), None)
        deadline = time.monotonic() + 20
        while not has_begun(job) and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(seconds)
        if process.poll() is not None:
            return False
        workers = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
    _, left = psutil.wait_procs(workers, timeout=5)
    assert left == []
    return JobStore(jobs_folder()).jobs()[0].state is State.RUNNING


def run_to_the_end(job, golden):
    with window(WORKER) as process:
        process.wait(60)
    assert [found.state for found in JobStore(jobs_folder()).load()] == [State.FINISHED]
    assert Path(job.target).read_bytes() == golden


def test_that_a_job_outlives_its_window(job, golden):
    assert kill_while_running(job, 0.02, RESTLESS)
    assert not Path(job.target).exists()
    assert JobStore(jobs_folder()).load()[0].state is State.QUEUED
    run_to_the_end(job, golden)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("job", [(12, 1024, 2816)], indirect=True)
def test_that_fifty_killed_windows_lose_nothing(job, golden):
    generator, interrupted = random.Random(3), 0
    store = JobStore(jobs_folder())
    for _ in range(50):
        interrupted += kill_while_running(job, generator.uniform(0, 0.5), WORKER)
        found = store.jobs()[0]
        if Path(job.target).exists():
            assert Path(job.target).read_bytes() == golden
        if found.state is not State.RUNNING:  # it got to its end before the kill
            Path(job.target).unlink()
            (store.folder(job.id) / "written-0.json").unlink()
            store.requeue(found)
    run_to_the_end(job, golden)
    assert interrupted > 10
