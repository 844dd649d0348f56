import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.events import (
    Cancelled,
    Failed,
    Finished,
    Note,
    Progress,
    ResultDone,
    Started,
    TensorDone,
    decode,
    encode,
)
from app.core.job import Job, Output, State, new_id, next_to_run
from app.core.recipe import Recipe

JOB = Job("j", "model", (Output("out.gguf", Recipe("Q4_K_M")),))
RESULT = (Output("o", Recipe("Q8_0")),)
TWO = Job("j", "model", (Output("a", Recipe("Q8_0")), Output("b", Recipe("Q4_K_M"))))
text = st.text(max_size=20)
events = st.one_of(
    st.builds(Started, st.integers(), text),
    st.builds(Progress, text, st.integers(), st.integers(), text),
    st.builds(TensorDone, text, text, st.integers(), st.integers()),
    st.builds(Note, text),
    st.builds(Failed, text, text, text, text),
    st.builds(ResultDone, st.integers(), text),
    st.just(Finished()),
    st.just(Cancelled()),
)


@given(events)
def test_that_an_event_survives_its_line(event):
    line = encode(event)
    assert "\n" not in line
    assert decode(line) == event


@pytest.mark.parametrize(
    "line",
    [
        "",
        "hello",
        "[]",
        "3",
        "{}",
        '{"event": "Nonsense"}',
        '{"event": "Note"}',
        '{"event": "Note", "text": "a", "extra": 1}',
        '{"event": []}',
        "[" * 100_000,
    ],
)
def test_that_anything_else_is_refused(line):
    with pytest.raises(ValueError, match=r".*"):
        decode(line)


def test_that_a_job_follows_its_events():
    running = JOB.after(Started(7, "cpu")).after(Note("careful")).after(Progress("quantize", 1, 2))
    assert (running.state, running.pid, running.notes) == (State.RUNNING, 7, ("careful",))
    assert running.progress == Progress("quantize", 1, 2)
    assert running.after(ResultDone(0, "r.json")).report == "r.json"
    assert running.after(Finished()).state is State.FINISHED
    assert running.after(Failed("crash", "It broke.")).problem == Failed("crash", "It broke.")
    assert running.after(Cancelled()).state.is_final


def test_that_every_result_has_its_report():
    second = TWO.after(Started(7, "cpu")).after(ResultDone(1, "b.json"))
    assert (second.reports, second.report) == (("", "b.json"), "b.json")
    both = second.after(ResultDone(0, "a.json"))
    assert both.reports == ("a.json", "b.json")
    assert both.queued().reports == ()


def test_that_a_job_of_an_earlier_version_is_no_job():
    fields = json.loads(JOB.request())
    (output,) = fields.pop("outputs")
    with pytest.raises(ValueError, match="not a job request"):
        Job.from_request(json.dumps(fields | output))


def test_that_a_job_without_results_is_refused():
    fields = json.loads(JOB.request())
    with pytest.raises(ValueError, match="without a result"):
        Job.from_request(json.dumps(fields | {"outputs": []}))


def test_that_a_second_run_forgets_the_first():
    failed = JOB.after(Started(7, "cpu")).after(Note("a")).after(Failed("x", "y"))
    again = failed.queued().after(Started(8, "cpu"))
    assert (again.problem, again.notes, again.pid) == (None, (), 8)


def test_that_a_request_is_one_line_and_says_everything_that_was_asked_for():
    outputs = (Output("o", Recipe("Q6_K", pure=True)), Output("p", Recipe("Q8_0")))
    job = Job("j", "mödel\n", outputs, "cuda:0", 3, False, True, "t.txt", (("l", 0.5),), "command")
    assert "\n" not in job.request()
    assert Job.from_request(job.request()) == job


@pytest.mark.parametrize("line", ["", "{}", "[]", '{"outputs": 3}', '{"outputs": [{"a": 1}]}'])
def test_that_a_broken_request_is_refused(line):
    with pytest.raises(ValueError, match=r".*"):
        Job.from_request(line)


def test_that_a_request_missing_a_field_is_refused():
    fields = json.loads(JOB.request())
    del fields["source"]
    with pytest.raises(ValueError, match="not a job request"):
        Job.from_request(json.dumps(fields))


def test_that_each_device_runs_one_job_at_a_time_in_order():
    jobs = [
        Job("a", "m", RESULT, "cpu").after(Started(1, "cpu")),
        Job("b", "m", RESULT, "cpu"),
        Job("c", "m", RESULT, "cuda:0"),
    ]
    assert next_to_run(jobs, {"cpu"}) == jobs[2]
    assert next_to_run(jobs, set()) == jobs[1]
    assert next_to_run(jobs, {"cpu", "cuda:0"}) is None


def test_that_new_names_differ_and_sort_by_time():
    ids = [new_id() for _ in range(200)]
    assert len(set(ids)) == 200
    assert [name[:22] for name in ids] == sorted(name[:22] for name in ids)


def test_that_a_request_of_an_earlier_version_is_understood():
    fields = json.loads(JOB.request())
    for later in ("samples", "length", "seed"):
        del fields[later]
    assert Job.from_request(json.dumps(fields)) == JOB
