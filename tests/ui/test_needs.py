import sys
from dataclasses import replace

import pytest
from fake_jobs import program

from app.core.job import Job, Output
from app.core.recipe import Recipe
from app.ui.needs import Needs

JOB = Job("1", "/models/Qwen3-8B", (Output("/out/a.gguf", Recipe("Q4_K_M")),))
FITTED = replace(JOB, outputs=(Output("/out/a.gguf", Recipe("Q4_K_M", method="gptq")),))


@pytest.fixture
def needs(qapp):
    needs = Needs(program("ok"))
    yield needs
    needs.close()


def test_that_another_job_is_asked_about_and_the_old_answer_goes_at_once(needs, qtbot):
    needs.ask(JOB)
    qtbot.waitUntil(lambda: needs.found is not None)
    plain = needs.found
    needs.ask(FITTED)
    assert needs.found is None
    qtbot.waitUntil(lambda: needs.found is not None)
    assert needs.found.memory > plain.memory
    assert needs.found.seconds.guessed
    needs.ask(None)
    assert needs.found is None


def test_that_a_new_name_for_the_result_changes_nothing(needs, qtbot):
    needs.ask(JOB)
    qtbot.waitUntil(lambda: needs.found is not None)
    found = needs.found
    needs.ask(replace(JOB, id="2", outputs=(Output("/out/b.gguf", Recipe("Q4_K_M")),)))
    assert needs.found is found


def test_that_an_answer_that_is_none_says_nothing(qapp, qtbot):
    needs = Needs([sys.executable, "-c", "print('{}')"])
    needs.ask(JOB)
    with qtbot.waitSignal(needs._probe.answered):
        pass
    assert needs.found is None
    needs.close()
