"""What fitting shows is told in the report, whatever happened between."""

import json

import pytest
from checkpoint_models import random_family
from tiny_models import copy_tokenizer

from app.core.events import Note, Progress
from app.core.job import Job, Output
from app.core.recipe import Recipe
from app.core.report import load_report
from app.worker.convert import convert
from app.worker.findings import Findings

pytestmark = pytest.mark.usefixtures("one_thread")

RECIPE = Recipe("Q4_0", "awq+gptq", options=(("powers", "3"),), pure=True)


@pytest.fixture(scope="module")
def mixture(tmp_path_factory):
    """A model whose experts meet few tokens, and share their inputs with no norm of their own."""
    folder = tmp_path_factory.mktemp("mixture")
    made = random_family("qwen3_moe", vocab_size=4096, num_experts=8, moe_intermediate_size=32)
    made.save_pretrained(folder)
    copy_tokenizer(folder)
    return folder


@pytest.fixture(scope="module")
def whole(mixture, tmp_path_factory):
    """The notes that are given, and those of the report, where nobody stops the job."""
    place = tmp_path_factory.mktemp("whole")
    told = notes_of(convert(job_of(mixture, place), place))
    return told, load_report(place / "report-0.json").notes


def job_of(model, place, *recipes):
    outputs = tuple(
        Output(str(place / f"{number}.gguf"), recipe)
        for number, recipe in enumerate(recipes or (RECIPE,))
    )
    return Job("j", str(model), outputs, threads=2, evaluate=False, samples=4, length=32)


def notes_of(events):
    return [event.text for event in events if isinstance(event, Note)]


def stop_at(job, folder, step):
    events = convert(job, folder)
    for event in events:
        if isinstance(event, Progress) and step in {event.item, event.phase}:
            break
    events.close()


def test_that_the_report_has_the_notes_that_were_given_while_fitting(whole):
    told, reported = whole
    assert sum("met too few tokens" in note for note in reported) == 1
    assert sum("awq left some matrices as they are" in note for note in reported) == 1
    assert sum("gives 128 tokens" in note for note in reported) == 1
    assert set(reported) <= set(told)


@pytest.mark.parametrize(
    "step", ["layer 2 of 2", pytest.param("output", marks=pytest.mark.slow), "verify"]
)
def test_that_a_job_cut_off_reports_what_one_in_one_go_does(mixture, tmp_path, whole, step):
    job = job_of(mixture, tmp_path)
    stop_at(job, tmp_path, step)
    told = notes_of(convert(job, tmp_path))
    assert load_report(tmp_path / "report-0.json").notes == whole[1]
    assert set(whole[1]) <= set(told)


def test_that_a_result_that_is_not_fitted_reports_nothing_of_one_that_is(mixture, tmp_path):
    job = job_of(mixture, tmp_path, Recipe("Q4_0", "gptq", pure=True), Recipe("Q8_0"))
    list(convert(job, tmp_path))
    fitted, plain = (load_report(tmp_path / f"report-{number}.json") for number in range(2))
    assert any("met too few tokens" in note for note in fitted.notes)
    assert not any("tokens" in note for note in plain.notes)


@pytest.mark.parametrize(
    "kept", ["", "[]", "null", '{"of": "this"}', json.dumps({"of": "another", "heard": ["no"]})]
)
def test_that_what_is_damaged_or_of_another_result_counts_as_nothing(tmp_path, kept):
    path = tmp_path / "findings.json"
    path.write_text(kept, encoding="utf-8")
    assert Findings(path, "this").recall().notes() == ()


def test_that_the_same_place_counts_once_and_places_add_up(tmp_path):
    path = tmp_path / "findings.json"
    first = Findings(path, "this", "awq")
    first.met_few("0", 3)
    first.left_alone("0", {"mlp.experts": 2})
    again = Findings(path, "this", "awq").recall()
    again.met_few("0", 3)
    again.left_alone("0", {"mlp.experts": 2})
    again.met_few("1", 4)
    again.left_alone("1", {"mlp.experts": 1, "self_attn.o_proj": 1})
    few, left = Findings(path, "this", "awq").recall().notes()
    assert few.startswith("7 matrices met too few tokens")
    assert left.endswith("mlp.experts (3), self_attn.o_proj (1).")
