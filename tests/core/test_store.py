import subprocess
import sys

import pytest

from app.core.events import Failed, Finished, Note, Progress, ResultDone, Started
from app.core.job import Job, Output, State, new_id
from app.core.lock import FileLock, is_locked
from app.core.recipe import Recipe
from app.core.store import BROKEN, INTERRUPTED, JobStore, QueueSettings


def job(name="a", origin="window"):
    return Job(name, "model", (Output("out.gguf", Recipe("Q4_K_M")),), origin=origin)


@pytest.fixture
def store(tmp_path):
    return JobStore(tmp_path / "jobs")


def test_that_a_queue_is_there_again_after_a_restart(store, tmp_path):
    for name in "abc":
        store.create(job(name))
    store.save_order(["c", "a", "b"])
    store.append("a", Started(1, "cpu"))
    store.append("a", Note("slow"))
    store.append("a", ResultDone(0, "r.json"))
    store.append("a", Finished())
    again = JobStore(tmp_path / "jobs")
    assert [found.id for found in again.load()] == ["c", "a", "b"]
    done = again.read("a")
    assert (done.state, done.report, done.notes) == (State.FINISHED, "r.json", ("slow",))


def test_that_a_windows_job_cut_off_waits_for_another_run(store):
    store.create(job())
    store.append("a", Started(1, "cpu"))
    assert store.jobs()[0].state is State.RUNNING
    assert store.load()[0].state is State.QUEUED
    assert store.jobs()[0].state is State.QUEUED


def test_that_a_commands_job_cut_off_has_failed_with_a_reason(store):
    store.create(job(origin="command"))
    store.append("a", Started(1, "cpu"))
    assert store.load()[0].problem == INTERRUPTED


def test_that_a_commands_job_still_running_is_left_alone(store):
    store.create(job(origin="command"))
    store.append("a", Started(1, "cpu"))
    lock = FileLock(store.running_lock("a"))
    assert lock.acquire()
    assert store.load()[0].state is State.RUNNING
    lock.release()
    assert store.load()[0].state is State.FAILED


def test_that_a_line_cut_short_by_a_crash_costs_nothing_else(store):
    store.create(job())
    store.append("a", Started(1, "cpu"))
    store.append("a", Failed("x", "It broke."))
    log = store.folder("a") / "events.jsonl"
    with log.open("ab") as file:
        file.write(b'{"event": "Finis')
    assert store.read("a").problem == Failed("x", "It broke.")
    store.append("a", Note("later"))
    assert store.read("a").notes == ("later",)


EARLIER = (
    b'{"id": "a", "source": "m", "target": "t", "recipe": {"preset": "Q8_0"}, "device": "cpu"}'
)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, EARLIER])
def test_that_an_unreadable_job_is_set_aside_and_the_others_stay(store, content):
    store.create(job("a"))
    store.create(job("b"))
    (store.folder("a") / "request.json").write_bytes(content)
    assert [found.id for found in store.load()] == ["b"]
    assert store.folder(BROKEN + "a").is_dir()
    assert [found.id for found in store.load()] == ["b"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"order": 3}', b'{"order": [[]]}'])
def test_that_an_unreadable_order_falls_back_to_age(store, content):
    first, second = new_id(), new_id()
    store.create(job(second))
    store.create(job(first))
    (store.folder("").parent / "jobs" / "queue.json").write_bytes(content)
    assert [found.id for found in store.load()] == sorted([first, second])


def test_that_progress_is_not_kept(store):
    store.create(job())
    store.append("a", Progress("quantize", 1, 2))
    assert store.read("a").progress is None


def test_that_a_retry_starts_a_new_history(store):
    store.create(job())
    store.append("a", Started(1, "cpu"))
    store.append("a", Failed("x", "It broke."))
    assert store.requeue(store.read("a")).state is State.QUEUED
    assert store.read("a").problem is None


def test_that_a_removed_job_is_gone(store):
    store.create(job())
    store.remove("a")
    assert store.load() == []
    assert store.read("a") is None


def test_that_what_the_user_told_the_queue_is_remembered_beside_its_order(store):
    assert store.settings() == QueueSettings()
    store.save_settings(QueueSettings(paused=True, stop_after_current=True))
    store.save_order(["a"])
    assert store.settings() == QueueSettings(paused=True, stop_after_current=True)


def test_that_a_lock_ends_with_its_process(tmp_path):
    path = tmp_path / "lock"
    code = (
        "import sys, time; from pathlib import Path; from app.core.lock import FileLock;"
        "lock = FileLock(Path(sys.argv[1])); print(lock.acquire(), flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    assert holder.stdout.readline().strip() == b"True"
    assert is_locked(path)
    assert not FileLock(path).acquire(0.2)
    holder.kill()
    holder.communicate()
    assert not is_locked(path)


ACKNOWLEDGE = """
import sys
from pathlib import Path
from app.core.job import Job, Output
from app.core.events import Note
from app.core.recipe import Recipe
from app.core.store import Job, JobStore
store = JobStore(Path(sys.argv[1]))
for number in range(10_000):
    store.create(Job(f"{number:05}", "m", (Output("o", Recipe("Q8_0")),)))
    store.append(f"{number:05}", Note("kept"))
    print(f"{number:05}", flush=True)
"""


@pytest.mark.parametrize("seed", range(5))
def test_that_nothing_acknowledged_is_lost_when_the_process_is_killed(tmp_path, seed):
    writer = subprocess.Popen(
        [sys.executable, "-c", ACKNOWLEDGE, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    for _ in range(3 + 7 * seed):
        writer.stdout.readline()
    writer.kill()
    rest = writer.communicate()[0].split()
    acknowledged = rest[-1] if rest and len(rest[-1]) == 5 else f"{2 + 7 * seed:05}"
    jobs = {found.id: found for found in JobStore(tmp_path).load()}
    for number in range(int(acknowledged) + 1):
        assert jobs[f"{number:05}"].notes == ("kept",)


def test_that_a_full_queue_of_old_jobs_opens_fast_enough_to_not_be_noticed(store):
    for number in range(200):
        folder = store.folder(f"{number:04}")
        folder.mkdir()
        (folder / "request.json").write_text(job(f"{number:04}").request())
    assert len(store.load()) == 200
    assert [entry.name for entry in store.folder("0000").iterdir()] == ["request.json"]
