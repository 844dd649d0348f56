import errno
import subprocess
from dataclasses import asdict

import pytest

from app.core.errors import BadModelFile
from app.core.events import Note, Progress
from app.core.job import Job, Output
from app.core.plan import Plan, PlannedTensor
from app.core.recipe import Recipe
from app.worker import awake
from app.worker.failure import describe
from app.worker.stages import Stages


@pytest.mark.parametrize(
    ("error", "title"),
    [
        (BadModelFile("It is damaged.", "Get it again."), "It is damaged."),
        (MemoryError(), "There is not enough memory for this job."),
        (OSError(errno.ENOSPC, "No space left on device"), "The disk is full."),
        (
            PermissionError(13, "Permission denied", "/x"),
            "A file could not be read or written (/x)",
        ),
        (ImportError("no torch", name="torch"), "A part of this installation is missing"),
        (ZeroDivisionError("division by zero"), "Nibble made a mistake"),
    ],
)
def test_that_every_end_is_told_in_words_with_the_rest_as_details(error, title):
    failed = describe(error)
    assert failed.title.startswith(title)
    assert failed.hint
    assert type(error).__name__ in failed.details
    assert "Traceback" not in failed.title + failed.hint


def test_that_progress_of_a_stage_becomes_progress_of_the_job():
    def events():
        yield Progress("verify", 1, 2, overall=0.5)
        yield Note("hello")
        return "result"

    second = Stages(0.6, 0.3, 0.1).place("verify", events(), 1, 2)
    assert next(second).overall == pytest.approx(0.825)
    placed = Stages(0.6, 0.3, 0.1).place("verify", events())
    assert next(placed).overall == pytest.approx(0.75)
    assert next(placed) == Note("hello")
    with pytest.raises(StopIteration) as end:
        next(placed)
    assert end.value.value == "result"


def test_that_closing_a_stage_closes_what_runs_inside():
    closed = []

    def events():
        try:
            yield Note("one")
            yield Note("two")
        finally:
            closed.append(True)

    placed = Stages(1, 0, 0).place("quantize", events())
    next(placed)
    placed.close()
    assert closed == [True]


def test_that_shares_add_up_and_measuring_counts_only_when_wanted():
    plans = [Plan("p", (PlannedTensor("a", (10**5, 10**4), "Q8_0", 0, 1, ()),), ())]

    def job(*, evaluate, importance=""):
        output = Output("t", Recipe("p", importance=importance))
        return Job("j", "s", (output,), threads=4, evaluate=evaluate)

    both = [Stages.of(job(evaluate=wanted), plans) for wanted in (True, False)]
    calibrated = Stages.of(job(evaluate=True, importance="auto"), plans)
    kept = Stages.of(job(evaluate=True, importance="auto"), plans, calibrate=False)
    for stages in (*both, calibrated, kept):
        assert sum(asdict(stages).values()) == pytest.approx(1)
    assert calibrated.calibrate > 0
    assert kept.calibrate == 0
    assert both[0].evaluate > 0
    assert both[1].evaluate == 0


def test_that_the_computer_is_kept_awake_only_inside_the_block(monkeypatch, tmp_path):
    program = tmp_path / "systemd-inhibit"
    program.write_text('#!/bin/sh\necho "$@" > "$0.said"\nexec cat\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    children = []
    real = subprocess.Popen

    def started(*args, **kwargs):
        children.append(real(*args, **kwargs))
        return children[-1]

    monkeypatch.setattr(awake.subprocess, "Popen", started)
    with awake.awake():
        assert children[0].poll() is None
    assert children[0].poll() is not None


def test_that_a_system_without_a_way_to_stay_awake_is_no_problem(monkeypatch):
    monkeypatch.setattr(awake.shutil, "which", lambda _: None)
    with awake.awake():
        pass
