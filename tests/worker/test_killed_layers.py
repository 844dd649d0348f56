"""kill -9 while a job goes layer by layer: what is done is kept, and the bytes are the same."""

import sys
from dataclasses import replace

import pytest
from checkpoints import write_llama
from test_killed import (
    _peak_bytes,
    events_of,
    job_of,
    kill_at_random_moments,
    made_whole,
    started,
)
from tiny_models import random_model

from app.core.events import Finished
from app.core.recipe import Recipe

_CODE = """
from app.calibration.checkpoint import LayerCheckpoint
from app.worker import main, pipeline
LayerCheckpoint.__init__.__defaults__ = (0.0, "")
pipeline._CHECKPOINT_SECONDS = 0.02
raise SystemExit(main.main())
"""
RESTLESS = [sys.executable, "-c", _CODE]
"""A worker that makes durable what it wrote, and the states behind layers, all the time."""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    sizes = {"hidden_size": 256, "intermediate_size": 320, "num_hidden_layers": 5}
    random_model(folder, model_type="llama", **sizes)
    return folder


@pytest.fixture
def job(model, tmp_path):
    plain = job_of(model, tmp_path / "out", Recipe("Q4_K_M", method="gptq"))
    return replace(plain, samples=12, length=64, threads=2)


@pytest.mark.timeout(600)
def test_that_a_killed_worker_loses_no_layer(job, tmp_path):
    golden = made_whole(job, tmp_path / "whole")
    assert kill_at_random_moments(job, golden, 2, 1, RESTLESS) > 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_that_twenty_kills_lose_no_layer(job, tmp_path):
    golden = made_whole(job, tmp_path / "whole")
    assert kill_at_random_moments(job, golden, 20, 2, RESTLESS, seconds=0.4) > 10


def peak_of(job):
    """The most memory that a worker took, in bytes."""
    peak, last = 0, None
    with started(job) as worker:
        for event in events_of(worker):
            peak = max(peak, _peak_bytes(worker.pid))
            last = event
    assert isinstance(last, Finished)
    return peak


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_that_memory_does_not_grow_with_the_number_of_layers(tmp_path):
    """All layers would take 0.5 GB more in float32, and all second moments 1 GB more."""
    peaks = []
    for layers in (4, 24):
        model = tmp_path / f"{layers}"
        write_llama(model, layers=layers, hidden=768, inner=2048)
        job = job_of(model, tmp_path / f"out-{layers}", Recipe("Q4_K_S", method="gptq"))
        peaks.append(peak_of(replace(job, samples=2, length=256)))
    sys.stderr.write(f"\npeaks {peaks[0] / 1e9:.2f} GB and {peaks[1] / 1e9:.2f} GB\n")
    assert peaks[1] - peaks[0] < 0.2e9
