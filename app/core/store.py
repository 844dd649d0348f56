"""Jobs on disk: a folder each, with the request and everything the worker said.

    <root>/queue.json                  order of the jobs, and whether the queue is paused
    <root>/<job id>/request.json       what was asked for; written once
    <root>/<job id>/events.jsonl       what happened in the present run; only ever appended to
    <root>/<job id>/worker.log         the technical text
    <root>/<job id>/report-0.json      the first result in numbers; one file for each
    <root>/<job id>/running.lock       held by a command that runs the job itself

A job's present is its request folded over its events, so restarting restores the
queue by reading, and there is no second copy of the truth. Every write is on disk
before the call returns. A folder that cannot be read is set aside, and costs no
other job.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from dataclasses import asdict, dataclass
from functools import reduce
from pathlib import Path

from app.core.events import Event, Failed, Progress, TensorDone, decode, encode
from app.core.files import sync_folder, write_atomic
from app.core.job import Job, State
from app.core.lock import is_locked

log = logging.getLogger(__name__)

INTERRUPTED = Failed(
    "interrupted",
    "The program ended while this job was running.",
    "Start it again: it goes on where it stood.",
)
BROKEN = "broken-"
"""Prefix of the folders of jobs that could not be read."""


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """What the user has told the queue as a whole."""

    paused: bool = False
    stop_after_current: bool = False
    """Finish what runs now and start nothing after it."""


class JobStore:
    """Reads and writes the job folders under `root`. One window writes at a time."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._root.mkdir(parents=True, exist_ok=True)

    def folder(self, job_id: str) -> Path:
        """Where everything of one job is."""
        return self._root / job_id

    def running_lock(self, job_id: str) -> Path:
        """The lock that a command holds while it runs the job itself."""
        return self.folder(job_id) / "running.lock"

    def create(self, job: Job) -> None:
        """Remember a new job; it survives a crash from here on."""
        self.folder(job.id).mkdir(parents=True)
        write_atomic(self.folder(job.id) / "request.json", job.request().encode())
        sync_folder(self._root)

    def append(self, job_id: str, event: Event) -> None:
        """Remember `event`; how far the work is, its own journal knows."""
        if isinstance(event, Progress | TensorDone):
            return
        with (self.folder(job_id) / "events.jsonl").open("ab") as file:
            file.write(encode(event).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def requeue(self, job: Job) -> Job:
        """Forget what happened so far, and wait for another run."""
        write_atomic(self.folder(job.id) / "events.jsonl", b"")
        return job.queued()

    def remove(self, job_id: str) -> None:
        """Forget a job and its report; its result is not touched."""
        shutil.rmtree(self.folder(job_id), ignore_errors=True)

    def save_order(self, ids: list[str]) -> None:
        """Remember in which order the jobs wait."""
        self._write_queue({**self._read_queue(), "order": ids})

    def settings(self) -> QueueSettings:
        """What the user has told the queue as a whole."""
        saved = self._read_queue()
        return QueueSettings(saved.get("paused") is True, saved.get("stop_after_current") is True)

    def save_settings(self, settings: QueueSettings) -> None:
        """Inverse of `settings`."""
        self._write_queue({**self._read_queue(), **asdict(settings)})

    def jobs(self) -> list[Job]:
        """Every job as it is on disk, in the order of the queue; changes nothing."""
        names = [folder.name for folder in self._root.glob("*/")]
        return self._in_order([job for name in names if (job := self.read(name))])

    def load(self) -> list[Job]:
        """Every job in the order of the queue, ready for a window that takes them over.

        A window's job that was running comes back as queued and goes on where it stood. A
        command's job that was running has failed, unless that command is still at it.
        """
        folders = list(self._root.glob("*/"))
        return self._in_order([job for folder in folders if (job := self._load(folder))])

    def read(self, job_id: str) -> Job | None:
        """One job as it is on disk now; None when it is gone or damaged."""
        folder = self.folder(job_id)
        try:
            job = Job.from_request((folder / "request.json").read_bytes())
        except (OSError, ValueError):
            return None
        return reduce(Job.after, _events(folder / "events.jsonl"), job)

    def _in_order(self, jobs: list[Job]) -> list[Job]:
        saved = self._read_queue().get("order")
        order = saved if isinstance(saved, list) else []
        place = {job_id: index for index, job_id in enumerate(map(str, order))}
        return sorted(jobs, key=lambda job: (place.get(job.id, len(place)), job.id))

    def _load(self, folder: Path) -> Job | None:
        if folder.name.startswith(BROKEN):
            return None
        job = self.read(folder.name)
        if job is None or job.id != folder.name:
            log.warning("job folder %s cannot be read and is set aside", folder)
            folder.rename(folder.with_name(BROKEN + folder.name))
            return None
        if job.state is not State.RUNNING:
            return job
        if job.origin == "window":
            return self.requeue(job)
        if is_locked(self.running_lock(job.id)):
            return job
        self.append(job.id, INTERRUPTED)
        return job.after(INTERRUPTED)

    def _read_queue(self) -> dict[str, object]:
        try:
            saved = json.loads((self._root / "queue.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return saved if isinstance(saved, dict) else {}

    def _write_queue(self, content: dict[str, object]) -> None:
        write_atomic(self._root / "queue.json", json.dumps(content).encode())


def _events(path: Path) -> list[Event]:
    """The events of a log; drops a last line that a crash cut short, from disk too."""
    try:
        content = path.read_bytes()
    except OSError:
        return []
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        write_atomic(path, whole)
    events = []
    for line in whole.splitlines():
        try:
            events.append(decode(line))
        except ValueError:
            log.warning("%s: skipped a line that is not an event", path)
    return events
