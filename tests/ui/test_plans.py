import json

import pytest
from fake_jobs import program

from app.commands.dry_run import dry_run
from app.core.job import Job, Output
from app.core.places import sample_model
from app.core.recipe import Recipe
from app.ui.plans import Plans, ResultPlan

MODEL = "/models/Qwen3-8B"
PLAIN = Recipe("Q4_K_M")
LARGER = Recipe("Q4_K_M", overrides=(("ffn_down", "Q6_K"),))
WRONG = Recipe("Q4_K_M", overrides=(("nowhere", "Q6_K"),))


@pytest.fixture
def plans(qapp):
    plans = Plans(program("ok"))
    yield plans
    plans.close()


def test_that_the_answer_of_the_command_is_understood():
    recipe = Recipe("Q4_K_M", overrides=(("ffn_down", "Q6_K"),), split_bytes=2_000_000)
    job = Job("x", str(sample_model()), (Output("/x.gguf", recipe),))
    answer = json.loads(json.dumps(dry_run(job).document))
    plan = ResultPlan.from_json(answer)
    (down,) = [kind for kind in plan.kinds if kind.name == "blk.*.ffn_down.weight"]
    assert (down.encoding, down.count, down.wanted) == ("Q6_K", 8, "")
    assert sum(kind.count for kind in plan.kinds) == len(plan.names)
    assert plan.files > 1
    assert 0 < plan.nbytes - sum(kind.nbytes for kind in plan.kinds) < 600_000


def test_that_something_else_is_no_plan():
    for document in ({}, {"tensors": 3}, {"tensors": [{}], "files": []}):
        with pytest.raises(ValueError, match="not a plan"):
            ResultPlan.from_json(document)


def test_that_every_recipe_gets_its_plan(plans, qtbot):
    plans.ask(MODEL, (PLAIN, LARGER))
    assert plans.is_busy
    assert plans.plan(PLAIN) is None
    qtbot.waitUntil(lambda: not plans.is_busy)
    assert plans.plan(LARGER).nbytes > plans.plan(PLAIN).nbytes
    assert plans.problem is None


def test_that_a_plan_that_is_known_is_there_at_once(plans, qtbot):
    plans.ask(MODEL, (PLAIN,))
    qtbot.waitUntil(lambda: not plans.is_busy)
    plans.ask(MODEL, ())
    plans.ask(MODEL, (PLAIN,))
    assert not plans.is_busy
    assert plans.plan(PLAIN) is not None
    plans.ask("/models/another", ())
    assert plans.plan(PLAIN) is None


def test_that_a_recipe_that_cannot_be_applied_is_explained_until_it_is_changed(plans, qtbot):
    plans.ask(MODEL, (WRONG,))
    qtbot.waitUntil(lambda: plans.problem is not None)
    assert "nowhere" in plans.problem.title
    plans.ask(MODEL, (LARGER,))
    assert plans.problem is None
    qtbot.waitUntil(lambda: plans.plan(LARGER) is not None)
