import json

import pytest
from tiny_models import random_model

from app.advisor.speeds import MeasuredSpeeds
from app.core.events import Progress
from app.core.job import Job, Output
from app.core.places import user_data
from app.core.recipe import AUTOMATIC, Recipe
from app.models import open_model
from app.worker.convert import convert
from app.worker.forecast import Stopwatch, forecast
from app.worker.work import Work

pytestmark = pytest.mark.usefixtures("one_thread")

GPTQ = Recipe("Q4_0", method="gptq")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4}
    random_model(folder, model_type="llama", num_hidden_layers=2, **sizes)
    return folder


@pytest.fixture
def run(model, tmp_path, monkeypatch):
    """Runs a job that makes one result; the speeds of calibrations, however short they were."""
    kept = tmp_path / "calibrations.json"
    monkeypatch.setattr(
        "app.worker.forecast.calibration_speeds", lambda: MeasuredSpeeds(kept, least_seconds=0)
    )

    def run(recipe, stop_after=0):
        (tmp_path / "job").mkdir(exist_ok=True)
        events = convert(job_of(model, tmp_path, recipe), tmp_path / "job")
        for event in events:
            if stop_after and isinstance(event, Progress) and event.overall > stop_after:
                events.close()
        return json.loads(kept.read_bytes()).get("cpu", {}) if kept.exists() else {}

    return run


def job_of(model, tmp_path, recipe):
    output = Output(str(tmp_path / "out.gguf"), recipe)
    return Job("j", str(model), (output,), threads=1, evaluate=False, samples=4, length=32)


def test_that_a_calibrated_job_keeps_its_speed_and_leaves_that_of_conversions_alone(run):
    speeds = run(GPTQ)
    assert speeds.keys() == {"gptq"}
    assert speeds["gptq"] > 0
    assert not (user_data() / "conversion_speeds.json").exists()


def test_that_an_importance_matrix_keeps_its_speed_once(run):
    weighed = Recipe("Q4_0", importance=AUTOMATIC)
    kept = run(weighed)
    assert kept.keys() == {"importance"}
    assert run(weighed) == kept  # the matrix was there already


def test_that_a_job_that_was_cut_off_keeps_none(run):
    assert run(GPTQ, stop_after=0.5) == {}
    assert run(GPTQ) == {}


def test_that_a_stopwatch_counts_what_was_done_while_it_ran(monkeypatch, tmp_path):
    now = iter([100.0, 130.0, 150.0])
    monkeypatch.setattr("app.worker.forecast.time.monotonic", lambda: next(now))
    speeds = MeasuredSpeeds(tmp_path / "speeds.json")
    monkeypatch.setattr("app.worker.forecast.calibration_speeds", lambda: speeds)
    watch = Stopwatch()
    watch.keep("cpu", Known())
    assert speeds.seconds("cpu", "gptq", 1) is None  # nothing was said yet
    for overall in (0.2, 0.5, 0.7):
        event = Progress("calibrate", 0, 0, overall=overall)
        assert watch.see(event) is event
    watch.see("something else")
    watch.keep("cpu", Known())
    found = speeds.seconds("cpu", "gptq", 500.0)
    assert found.least < 50 < found.most < 100


class Known:
    """A reading of 1000 multiplications."""

    kind, multiplications = "gptq", 1000.0


def test_that_a_matrix_that_is_kept_takes_no_time_any_more(run, model, tmp_path):
    recipe = Recipe("Q4_0", importance=AUTOMATIC)
    job, source = job_of(model, tmp_path, recipe), open_model(model)
    plans = [result.plan for result in Work.of(job).results]
    assert forecast(job, source, plans).importance.guessed
    run(recipe)
    assert forecast(job, source, plans).importance is None
