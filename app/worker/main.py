"""Run one job and report on standard output.

Line 1 of standard input is the job. A further line, "cancel", gives the job up and removes
what is unfinished. The end of input stops it and keeps what is done: when the
window dies, the worker follows, and the job goes on after the next start.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import closing
from dataclasses import replace
from io import FileIO
from typing import TextIO

import psutil

from app.core.events import FINAL, Cancelled, Event, Progress, Started, encode
from app.core.job import Job
from app.core.places import jobs_folder
from app.worker.failure import describe

BEAT_SECONDS = 0.5
FOLLOW_SECONDS = 1.0


class Channel:
    """Sends events at once, except progress, which goes out as a steady beat."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lock = threading.Lock()
        self._closed = False
        self._latest = Progress("prepare", 0, 0)
        threading.Thread(target=self._beat, daemon=True).start()

    def send(self, event: Event) -> None:
        """Pass `event` on; a `Progress` waits for the next beat; a final event is the last."""
        if isinstance(event, Progress):
            self._latest = event
        else:
            self._write(event)

    def _write(self, event: Event) -> None:
        with self._lock:
            if self._closed:
                return
            self._out.write(encode(event) + "\n")
            self._out.flush()
            self._closed = isinstance(event, FINAL)

    def _beat(self) -> None:
        pause, process = threading.Event(), psutil.Process()
        while not pause.wait(BEAT_SECONDS):
            self._write(replace(self._latest, host_bytes=process.memory_info().rss))


class Orders:
    """What the window says after the request, read by a thread of its own."""

    def __init__(self, stream: FileIO) -> None:
        self._stream = stream
        self.stop = threading.Event()  #: stop now, for whatever reason
        self.cancel = threading.Event()  #: and remove what is unfinished
        threading.Thread(target=self._watch, daemon=True).start()

    def forget(self) -> None:
        """The order has been carried out in another way."""
        self.stop.clear()
        self.cancel.clear()

    def _watch(self) -> None:
        while self._stream.readline().strip() == b"cancel":
            self.cancel.set()
            self.stop.set()
        self.stop.set()
        # The window is gone: nobody would read what a slice still under way has to say.
        time.sleep(FOLLOW_SECONDS)
        os._exit(1)


def main() -> int:
    """Entry point of `python -m app worker`."""
    out = _claim_stdout()
    stream = os.fdopen(0, "rb", buffering=0, closefd=False)  # unbuffered: no lock at exit
    job = Job.from_request(stream.readline())
    orders = Orders(stream)
    channel = Channel(out)
    channel.send(Started(os.getpid(), job.device))
    try:
        _run(job, channel, orders)
    except Exception as error:  # noqa: BLE001 - the process boundary: report everything
        channel.send(describe(error))
        return 1
    return 0


def _run(job: Job, channel: Channel, orders: Orders) -> None:
    # Inside the `try`: a broken torch becomes a Failed, too.
    from app.worker.awake import awake
    from app.worker.convert import SkipMeasuring, convert, discard, is_measuring

    with awake(), closing(convert(job, jobs_folder() / job.id)) as events:
        for event in events:
            channel.send(event)
            if not orders.stop.is_set():
                continue
            if not (orders.cancel.is_set() and is_measuring(event)):
                break
            orders.forget()
            channel.send(events.throw(SkipMeasuring()))
    if orders.cancel.is_set():
        discard(job)
    channel.send(Cancelled())  # ignored if the job got to its own end first


def _claim_stdout() -> TextIO:
    """Keep the real standard output for messages; stray prints go to the log."""
    private = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(private, "w", encoding="utf-8", newline="\n")
