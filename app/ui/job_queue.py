"""The queue of jobs: keeps them, runs one per device, remembers them."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial

from PySide6.QtCore import QObject, QTimer, Signal, Slot

from app.core.eta import Estimator
from app.core.events import Cancelled, Event, Progress
from app.core.job import Job, State, next_to_run
from app.core.lock import is_locked
from app.core.store import INTERRUPTED, JobStore, QueueSettings
from app.ui.worker_process import WorkerProcess

log = logging.getLogger(__name__)

UNDO_MS = 8_000
"""A removed job can be brought back for this long."""
_QUIT_MS = 2_000


class JobQueue(QObject):
    """Owns every job and every running worker. Jobs in their order are the whole state."""

    added = Signal(object)
    """Job"""
    changed = Signal(object)
    """Job, in its new state"""
    removed = Signal(str)
    """Job id"""
    reordered = Signal()
    settings_changed = Signal(object)
    """QueueSettings"""
    ended = Signal(object)
    """Job that has just finished, failed or was cancelled"""
    emptied = Signal()
    """Nothing runs and nothing waits any more"""

    def __init__(self, store: JobStore, command: list[str], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._store = store
        self._command = command
        self._jobs = {job.id: job for job in store.load()}
        self._settings = store.settings()
        if self._settings.stop_after_current:  # "this one" ended with the last session
            self._settings = QueueSettings(paused=True)
        self._workers: dict[str, WorkerProcess] = {}
        self._estimators: dict[str, Estimator] = {}
        self._trash: dict[str, tuple[Job, int]] = {}
        self._purge = QTimer(self, interval=UNDO_MS, singleShot=True)
        self._purge.timeout.connect(self.empty_trash)
        self._closing = False

    @property
    def store(self) -> JobStore:
        """Where the jobs are on disk."""
        return self._store

    @property
    def settings(self) -> QueueSettings:
        """What the user has told the queue as a whole."""
        return self._settings

    def jobs(self) -> list[Job]:
        """All jobs in the order of the queue."""
        return list(self._jobs.values())

    def job(self, job_id: str) -> Job | None:
        """One job, if it is still there."""
        return self._jobs.get(job_id)

    def remaining(self, job_id: str) -> float | None:
        """Seconds until a running job is done; None while nobody knows."""
        estimator = self._estimators.get(job_id)
        return estimator.remaining() if estimator else None

    def running(self) -> list[Job]:
        """The jobs whose worker exists."""
        return [self._jobs[job_id] for job_id in self._workers if job_id in self._jobs]

    def begin(self) -> None:
        """Go on with what waits; called once when the window is up."""
        self._start_next()

    def submit(self, job: Job) -> None:
        """Put `job` at the end of the queue.

        Raises:
            OSError: The job cannot be written to disk.
        """
        self._store.create(job)
        self._jobs[job.id] = job
        self._save_order()
        self.added.emit(job)
        self._start_next()

    def cancel(self, job_id: str) -> None:
        """Stop a running job, or take a waiting one out of the line."""
        worker = self._workers.get(job_id)
        if worker is not None:
            worker.cancel()
        elif self._jobs[job_id].state is State.QUEUED:
            self._apply(job_id, Cancelled())

    def retry(self, job_id: str) -> None:
        """Run a job again that has ended; it goes on where it stood."""
        if job_id in self._workers or not self._jobs[job_id].state.is_final:
            return
        self._put(self._store.requeue(self._jobs[job_id]))
        self._start_next()

    def remove(self, job_id: str) -> None:
        """Take a job that does not run out of the list; `restore` brings it back for a while."""
        if job_id in self._workers or job_id not in self._jobs:
            return
        self._trash[job_id] = (self._jobs[job_id], list(self._jobs).index(job_id))
        del self._jobs[job_id]
        self._purge.start()
        self.removed.emit(job_id)

    def restore(self, job_id: str) -> None:
        """Undo `remove`."""
        if job_id not in self._trash:
            return
        job, place = self._trash.pop(job_id)
        rows = [*self._jobs.items()]
        rows.insert(place, (job_id, job))
        self._jobs = dict(rows)
        self.added.emit(job)
        self.reordered.emit()
        self._start_next()

    @Slot()
    def refresh(self) -> None:
        """Look at what commands, which run their jobs themselves, have done meanwhile."""
        folders = (path.parent for path in self._store.folder("*").parent.glob("*/request.json"))
        for job_id in sorted(folder.name for folder in folders):
            known = self._jobs.get(job_id)
            if job_id in self._trash or job_id in self._workers:
                continue
            if known is not None and known.state is not State.RUNNING:
                continue
            job = self._store.read(job_id)
            if job is None or job.id != job_id:
                continue
            if known is None:
                self._jobs[job_id] = job
                self.added.emit(job)
            elif job != known:
                self._put(job)
            elif not is_locked(self._store.running_lock(job_id)):
                self._apply(job_id, INTERRUPTED)
        self._start_next()

    @Slot()
    def empty_trash(self) -> None:
        """Delete for good what was removed."""
        for job_id in self._trash:
            self._store.remove(job_id)
        self._trash.clear()

    def move(self, job_id: str, before: str | None) -> None:
        """Put a job in front of the job `before`, or at the end."""
        if job_id == before:
            return
        order = [key for key in self._jobs if key != job_id]
        order.insert(order.index(before) if before in order else len(order), job_id)
        self._jobs = {key: self._jobs[key] for key in order}
        self._save_order()
        self.reordered.emit()

    def set_paused(self, paused: bool) -> None:
        """Start nothing new while paused; what runs goes on."""
        self._save(replace(self._settings, paused=paused, stop_after_current=False))

    def set_stop_after_current(self, stop: bool) -> None:
        """Finish what runs now and start nothing after it."""
        self._save(replace(self._settings, stop_after_current=stop))

    def close(self) -> None:
        """Stop every worker; jobs that were running go on at the next start."""
        self._closing = True
        self.empty_trash()
        for worker in self._workers.values():
            worker.abandon()
        for worker in self._workers.values():
            worker.wait(_QUIT_MS)
        self._workers.clear()

    def _save(self, settings: QueueSettings) -> None:
        self._settings = settings
        self._store.save_settings(settings)
        self.settings_changed.emit(settings)
        self._start_next()

    def _save_order(self) -> None:
        self._store.save_order(list(self._jobs))

    def _start_next(self) -> None:
        if self._closing or self._settings.paused or self._settings.stop_after_current:
            return
        busy = {job.device for job in self._jobs.values() if job.state is State.RUNNING}
        busy |= {job.device for job in self.running()}  # over only when the process is gone
        while (job := next_to_run(self._jobs.values(), busy)) is not None:
            busy.add(job.device)
            self._launch(job)

    def _launch(self, job: Job) -> None:
        worker = WorkerProcess(self._command, self._store.folder(job.id) / "worker.log", self)
        worker.reported.connect(partial(self._on_event, job.id))
        worker.gone.connect(partial(self._on_gone, job.id))
        self._workers[job.id] = worker
        self._estimators[job.id] = Estimator()
        self._put(replace(job, state=State.RUNNING, progress=None))
        worker.start(job)

    def _on_event(self, job_id: str, event: Event) -> None:
        if self._closing:
            return
        if isinstance(event, Progress):
            self._estimators[job_id].put(event.overall)
        self._apply(job_id, event)

    def _apply(self, job_id: str, event: Event) -> None:
        try:
            self._store.append(job_id, event)
        except OSError:  # the work itself may still succeed, so it goes on
            log.exception("cannot write the history of job %s", job_id)
        self._put(self._jobs[job_id].after(event))

    def _put(self, job: Job) -> None:
        before = self._jobs[job.id].state
        self._jobs[job.id] = job
        self.changed.emit(job)
        if job.state.is_final and not before.is_final:
            self.ended.emit(job)

    def _on_gone(self, job_id: str) -> None:
        if self._closing:
            return
        self._workers.pop(job_id).deleteLater()
        self._estimators.pop(job_id, None)
        self.changed.emit(self._jobs[job_id])  # its device is free now
        if self._settings.stop_after_current and not self._workers:
            self._save(replace(self._settings, paused=True, stop_after_current=False))
        self._start_next()
        if all(job.state.is_final for job in self._jobs.values()):
            self.emptied.emit()
