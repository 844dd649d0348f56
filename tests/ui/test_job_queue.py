import os
from dataclasses import replace

import pytest
from fake_jobs import make_job

from app.core.events import Finished, ResultDone, Started
from app.core.job import State
from app.core.lock import FileLock
from app.core.places import jobs_folder
from app.core.store import JobStore, QueueSettings

QUEUED, RUNNING, FINISHED = State.QUEUED, State.RUNNING, State.FINISHED
FAILED, CANCELLED = State.FAILED, State.CANCELLED


def states(jobs):
    return [job.state for job in jobs.jobs()]


def reach(qtbot, jobs, *wanted):
    qtbot.waitUntil(lambda: states(jobs) == list(wanted))


def alive(qtbot, jobs, job_id):
    """Wait until the worker itself has spoken."""
    qtbot.waitUntil(lambda: jobs.job(job_id).pid > 0)


def test_that_one_device_runs_one_job_at_a_time(qtbot, queue):
    jobs = queue("patient")
    for name, device in (("a", "cpu"), ("b", "cpu"), ("c", "cuda:0")):
        jobs.submit(make_job(name, device))
    assert states(jobs) == [RUNNING, QUEUED, RUNNING]
    alive(qtbot, jobs, "a")
    jobs.cancel("a")
    reach(qtbot, jobs, CANCELLED, RUNNING, RUNNING)


def test_that_a_finished_job_is_announced_once_and_survives_a_restart(qtbot, queue):
    jobs, ended = queue("succeed"), []
    jobs.ended.connect(ended.append)
    with qtbot.waitSignal(jobs.emptied):
        jobs.submit(make_job("a"))
    assert [job.state for job in ended] == [FINISHED]
    again = queue("succeed").jobs()
    assert [(job.state, job.report) for job in again] == [(FINISHED, ended[0].report)]


def test_that_the_next_job_waits_until_the_process_is_gone(qtbot, queue):
    jobs, seen = queue("succeed"), []
    jobs.changed.connect(lambda job: seen.append((job.id, job.state, len(jobs.running()))))
    jobs.submit(make_job("a"))
    jobs.submit(make_job("b"))
    reach(qtbot, jobs, FINISHED, FINISHED)
    assert max(running for _, _, running in seen) == 1


def test_that_a_paused_queue_starts_nothing_and_stays_paused_after_a_restart(qtbot, queue):
    jobs = queue("succeed")
    jobs.set_paused(True)
    jobs.submit(make_job("a"))
    assert states(jobs) == [QUEUED]
    again = queue("succeed")
    again.begin()
    assert again.settings.paused
    assert states(again) == [QUEUED]
    again.set_paused(False)
    reach(qtbot, again, FINISHED)


def test_that_finish_this_one_stops_before_the_next(qtbot, queue):
    jobs = queue("patient")
    jobs.submit(make_job("a"))
    jobs.submit(make_job("b"))
    alive(qtbot, jobs, "a")
    jobs.set_stop_after_current(True)
    jobs.cancel("a")
    qtbot.waitUntil(lambda: jobs.settings == QueueSettings(paused=True))
    assert states(jobs) == [CANCELLED, QUEUED]


def test_that_waiting_jobs_run_in_the_order_they_are_moved_to(qtbot, queue):
    jobs = queue("succeed")
    jobs.set_paused(True)
    for name in "abc":
        jobs.submit(make_job(name))
    jobs.move("c", "a")
    jobs.move("a", None)
    assert [job.id for job in jobs.jobs()] == ["c", "b", "a"]
    assert [job.id for job in JobStore(jobs_folder()).load()] == ["c", "b", "a"]
    started = []
    jobs.changed.connect(lambda job: started.append(job.id))
    jobs.set_paused(False)
    reach(qtbot, jobs, FINISHED, FINISHED, FINISHED)
    assert list(dict.fromkeys(started)) == ["c", "b", "a"]


def test_that_a_failed_job_can_be_tried_again(qtbot, queue):
    jobs = queue("fail")
    jobs.submit(make_job("a"))
    qtbot.waitUntil(lambda: states(jobs) == [FAILED] and not jobs.running())
    assert jobs.job("a").problem.title == "The disk is full."
    jobs.retry("a")
    assert jobs.job("a").problem is None
    qtbot.waitUntil(lambda: states(jobs) == [FAILED] and not jobs.running())


def test_that_a_removed_job_comes_back_in_its_place(queue):
    jobs = queue("succeed")
    jobs.set_paused(True)
    for name in "abc":
        jobs.submit(make_job(name))
    jobs.remove("b")
    assert [job.id for job in jobs.jobs()] == ["a", "c"]
    jobs.restore("b")
    assert [job.id for job in jobs.jobs()] == ["a", "b", "c"]


def test_that_a_removed_job_is_deleted_when_the_time_for_undo_is_over(queue):
    jobs = queue("succeed")
    jobs.set_paused(True)
    jobs.submit(make_job("a"))
    jobs.remove("a")
    assert jobs.store.folder("a").exists()
    jobs.empty_trash()
    assert not jobs.store.folder("a").exists()


def test_that_a_running_job_cannot_be_removed(qtbot, queue):
    jobs = queue("patient")
    jobs.submit(make_job("a"))
    jobs.remove("a")
    assert states(jobs) == [RUNNING]


def test_that_closing_keeps_a_running_job_for_the_next_start(qtbot, queue):
    jobs = queue("patient")
    jobs.submit(make_job("a"))
    alive(qtbot, jobs, "a")
    jobs.close()
    assert not jobs.running()
    again = queue("succeed")
    assert states(again) == [QUEUED]
    again.begin()
    reach(qtbot, again, FINISHED)


def test_that_a_window_killed_in_the_middle_goes_on_at_the_next_start(qtbot, queue):
    store = JobStore(jobs_folder())
    store.create(make_job("a"))
    store.append("a", Started(4711, "cpu"))  # and then the lights went out
    jobs = queue("succeed")
    jobs.begin()
    reach(qtbot, jobs, FINISHED)


@pytest.mark.parametrize("held", [True, False])
def test_that_a_commands_job_is_shown_and_left_to_it(queue, held):
    jobs = queue("succeed")
    store = JobStore(jobs_folder())
    store.create(make_job("a", origin="command"))
    store.append("a", Started(os.getpid(), "cpu"))
    lock = FileLock(store.running_lock("a"))
    assert lock.acquire()
    jobs.refresh()
    assert states(jobs) == [RUNNING]
    assert not jobs.running()
    if not held:
        lock.release()
    else:
        store.append("a", ResultDone(0, "report.json"))
        store.append("a", Finished())
    jobs.refresh()
    assert states(jobs) == [FINISHED if held else FAILED]
    lock.release()


def test_that_a_device_in_use_by_a_command_is_not_used_twice(queue):
    jobs = queue("patient")
    store = JobStore(jobs_folder())
    store.create(make_job("a", origin="command"))
    store.append("a", Started(os.getpid(), "cpu"))
    lock = FileLock(store.running_lock("a"))
    lock.acquire()
    jobs.refresh()
    jobs.submit(replace(make_job("b")))
    assert states(jobs) == [RUNNING, QUEUED]
    lock.release()
