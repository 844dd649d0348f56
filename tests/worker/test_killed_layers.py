"""kill -9 while a job goes layer by layer: what is done is kept, and the bytes are the same."""

from dataclasses import replace

import pytest
from test_killed import job_of, kill_at_random_moments, made_whole
from tiny_models import random_model

from app.core.recipe import Recipe


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    random_model(folder, model_type="llama", num_hidden_layers=6)
    return folder


@pytest.fixture
def job(model, tmp_path):
    plain = job_of(model, tmp_path / "out", Recipe("Q4_K_M", method="gptq"))
    return replace(plain, samples=16, length=128, threads=2)


@pytest.mark.timeout(600)
def test_that_a_killed_worker_loses_no_layer(job, tmp_path):
    golden = made_whole(job, tmp_path / "whole")
    assert kill_at_random_moments(job, golden, kills=2, seed=1) > 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_that_twenty_kills_lose_no_layer(job, tmp_path):
    golden = made_whole(job, tmp_path / "whole")
    assert kill_at_random_moments(job, golden, kills=20, seed=2) > 10
