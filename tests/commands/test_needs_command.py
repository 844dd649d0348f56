"""What a job takes, on the command line: before a dry run, before a job, and by itself."""

from __future__ import annotations

import json

from app.core.job import Job, Output
from app.core.needs import JobNeeds
from app.core.places import sample_model
from app.core.recipe import Recipe


def test_that_a_dry_run_says_the_same_of_a_calibrated_job_as_the_window_is_told(say):
    options = ("--format", "Q4_0", "--method", "gptq", "--samples", "8", "--threads", "2")
    code, out, err = say("quantize", "sample", *options, "--dry-run", "--json")
    assert code == 0, err
    said = JobNeeds.from_json(json.loads(out)["needs"])
    assert said.seconds.guessed
    job = Job(
        "x",
        str(sample_model()),
        (Output("x.gguf", Recipe("Q4_0", method="gptq")),),
        threads=2,
        samples=8,
    )
    told = JobNeeds.from_json(json.loads(say("needs", job.request(), "--json")[1]))
    assert (told.memory, told.seconds, told.disk) == (said.memory, said.seconds, said.disk)
    plain = json.loads(say("quantize", "sample", "--format", "Q4_0", "--dry-run", "--json")[1])
    assert told.memory > JobNeeds.from_json(plain["needs"]).memory


def test_that_a_job_says_what_it_takes_before_it_starts(say, tmp_path):
    options = ("--format", "Q8_0", "--no-evaluate", "--out", tmp_path / "x.gguf")
    code, _, err = say("quantize", "sample", *options)
    assert code == 0
    first = err.splitlines()[0]
    assert first.startswith("note: This takes 6.")
    assert "of memory" in first
    assert "not known before the first one" in first
    assert "This takes" in say("quantize", "sample", *options, "--dry-run")[1]


def test_that_the_time_of_a_matrix_is_told_where_that_of_converting_is_not_known(say):
    _, out, _ = say("quantize", "sample", "--format", "IQ2_XS", "--dry-run")
    assert "for its importance matrix alone." in out.splitlines()[-1]


def test_that_what_is_no_request_is_refused(say):
    code, _, err = say("needs", "{}")
    assert code == 2
    assert "not a job's request" in err
