import pytest
from fake_jobs import make_job, program

from app.core.events import Cancelled, Failed, Finished, Note, Progress, ResultDone, Started
from app.core.places import jobs_folder
from app.ui import worker_process
from app.ui.worker_process import WorkerProcess


@pytest.fixture
def run(qtbot, tmp_path):
    def start(mode):
        folder = jobs_folder() / "j1"
        folder.mkdir(parents=True)
        worker = WorkerProcess([*program(mode), "worker"], tmp_path / "worker.log")
        seen = []
        worker.reported.connect(seen.append)
        worker.start(make_job("j1"))
        return worker, seen

    return start


def gone(qtbot, worker):
    qtbot.waitUntil(lambda: not worker.is_running())


def test_that_stray_output_is_not_taken_for_a_message(run, qtbot, caplog):
    worker, seen = run("succeed")
    gone(qtbot, worker)
    assert [type(event) for event in seen] == [Started, Progress, Note, ResultDone, Finished]
    assert "not a message" in caplog.text


def test_that_a_kill_by_the_system_is_explained_with_the_end_of_the_log(run, qtbot):
    worker, seen = run("crash")
    gone(qtbot, worker)
    assert isinstance(seen[-1], Failed)
    assert seen[-1].kind == "memory"
    assert "memory ran out" in seen[-1].title
    assert "SIGKILL" in seen[-1].details
    assert "CUDA went away" in seen[-1].details


def test_that_an_end_without_a_last_word_is_one_failure(run, qtbot):
    worker, seen = run("leave")
    gone(qtbot, worker)
    assert [type(event) for event in seen] == [Started, Progress, Failed]
    assert "exit code 3" in seen[-1].details


def test_that_the_workers_own_words_are_kept(run, qtbot):
    worker, seen = run("fail")
    gone(qtbot, worker)
    assert seen[-1] == Failed("space", "The disk is full.", "Make room.", "28")


def test_that_an_endless_line_costs_no_memory_and_no_event(run, qtbot):
    worker, seen = run("flood")
    gone(qtbot, worker)
    assert isinstance(seen[-1], Cancelled)


def test_that_cancel_lets_the_worker_say_goodbye(run, qtbot):
    worker, seen = run("patient")
    qtbot.waitUntil(lambda: len(seen) == 2)
    worker.cancel()
    gone(qtbot, worker)
    assert isinstance(seen[-1], Cancelled)


def test_that_a_deaf_worker_is_killed_after_the_grace_time(run, qtbot, monkeypatch):
    monkeypatch.setattr(worker_process, "GRACE_MS", 50)
    worker, seen = run("deaf")
    qtbot.waitUntil(lambda: len(seen) == 2)
    worker.cancel()
    gone(qtbot, worker)
    assert isinstance(seen[-1], Failed)


def test_that_a_silent_worker_is_ended_and_called_hanging(run, qtbot, monkeypatch):
    monkeypatch.setattr(worker_process, "SILENCE_MS", 600)
    worker, seen = run("deaf")
    gone(qtbot, worker)
    assert seen[-1].kind == "hang"


def test_that_a_missing_program_is_reported_once(qtbot):
    worker = WorkerProcess(["/no/such/program"])
    seen = []
    worker.reported.connect(seen.append)
    with qtbot.waitSignal(worker.gone):
        worker.start(make_job("j1"))
    assert [event.kind for event in seen] == ["start"]


def test_that_the_log_is_written_up_to_its_limit(run, qtbot, tmp_path, monkeypatch):
    monkeypatch.setattr(worker_process, "LOG_LIMIT", 7)
    worker, _ = run("crash")
    gone(qtbot, worker)
    assert (tmp_path / "worker.log").read_text() == "CUDA we"


def test_that_an_abandoned_worker_says_nothing_more(run, qtbot):
    worker, seen = run("patient")
    qtbot.waitUntil(lambda: len(seen) == 2)
    worker.abandon()
    worker.wait(2_000)
    assert not worker.is_running()
    assert len(seen) == 2
