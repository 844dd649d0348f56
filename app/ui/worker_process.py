"""One worker process, seen from the window."""

from __future__ import annotations

import logging
import signal
from pathlib import Path

from PySide6.QtCore import QObject, QProcess, QTimer, Signal, Slot

from app.core.events import FINAL, Event, Failed, Started, decode
from app.core.job import Job
from app.ui.programs import prepare

log = logging.getLogger(__name__)

GRACE_MS = 10_000
"""A worker that was asked to stop is killed after this time."""
LINE_LIMIT = 64_000
"""Bytes; a longer line is not one of ours."""
LOG_LIMIT = 2_000_000
"""Bytes of a job's log file."""
SILENCE_MS = 60_000
"""A worker that says nothing for this long hangs; healthy ones speak twice a second."""
_LISTENS = 12
_TAIL = 4000


class WorkerProcess(QObject):
    """Runs one job in its own process.

    Emits every event the worker reports and always ends with exactly one final
    event, made up here if the process dies without one.
    """

    reported = Signal(object)
    """Event"""
    gone = Signal()
    """The process no longer exists and its memory is free."""

    def __init__(
        self, command: list[str], log_file: Path | None = None, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._command = command
        self._log_file = log_file
        self._buffer = b""
        self._skipping = False
        self._ended = False
        self._hung = False
        self._stderr_tail = ""
        self._quiet_ticks = 0
        self._process = QProcess(self)
        prepare(self._process)
        self._process.readyReadStandardOutput.connect(self._read_events)
        self._process.readyReadStandardError.connect(self._read_log)
        self._process.finished.connect(self._on_exit)
        self._process.errorOccurred.connect(self._on_error)
        # Many short ticks and not one long timer: a computer that slept adds one tick only.
        self._watch = QTimer(self, interval=SILENCE_MS // _LISTENS)
        self._watch.timeout.connect(self._listen)
        self._grace = QTimer(self, interval=GRACE_MS, singleShot=True)
        self._grace.timeout.connect(self._process.kill)

    def start(self, job: Job) -> None:
        """Launch the worker and hand it `job`."""
        self._process.start(self._command[0], self._command[1:])
        self._process.write(f"{job.request()}\n".encode())
        self._watch.start()

    def cancel(self) -> None:
        """Ask the worker to give the job up; kill it if it has not after the grace time."""
        self._process.write(b"cancel\n")
        self._grace.start()

    def abandon(self) -> None:
        """Let go of the worker because the window closes; it keeps what it has done."""
        self._ended = True
        self._watch.stop()
        self._grace.stop()
        self._process.readyReadStandardOutput.disconnect(self._read_events)
        self._process.closeWriteChannel()

    def wait(self, milliseconds: int) -> None:
        """Block until an abandoned worker is gone, by force after `milliseconds`."""
        if not self._process.waitForFinished(milliseconds):
            self._process.kill()
            self._process.waitForFinished(milliseconds)

    def is_running(self) -> bool:
        """Whether the process still exists."""
        return self._process.state() != QProcess.ProcessState.NotRunning

    @Slot()
    def _read_events(self) -> None:
        self._buffer += bytes(self._process.readAllStandardOutput().data())
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in lines:
            if not self._skipping:
                self._read_line(line)
            self._skipping = False
        if len(self._buffer) > LINE_LIMIT:
            log.warning("worker sent a line of more than %d bytes", LINE_LIMIT)
            self._buffer, self._skipping = b"", True

    def _read_line(self, line: bytes) -> None:
        try:
            event = decode(line)
        except ValueError:
            log.warning("worker sent a line that is not a message: %.200r", line)
        else:
            self._quiet_ticks = 0
            self._emit(event)

    @Slot()
    def _read_log(self) -> None:
        content = bytes(self._process.readAllStandardError().data())
        self._stderr_tail = (self._stderr_tail + content.decode(errors="replace"))[-_TAIL:]
        if self._log_file is None:
            return
        try:
            with self._log_file.open("ab") as file:
                room = LOG_LIMIT - file.tell()
                file.write(content[: max(0, room)])
        except OSError:  # a full disk must not stop the job that may still fit
            log.warning("cannot write %s", self._log_file)

    @Slot()
    def _listen(self) -> None:
        self._quiet_ticks += 1
        if self._quiet_ticks >= _LISTENS:
            self._hung = True
            self._process.kill()

    @Slot(int, QProcess.ExitStatus)
    def _on_exit(self, code: int, status: QProcess.ExitStatus) -> None:
        self._watch.stop()
        self._grace.stop()
        self._read_log()
        if not self._ended:
            self._read_events()
        if not self._ended:
            crashed = status == QProcess.ExitStatus.CrashExit
            self._emit(cause(code, crashed=crashed, hung=self._hung, details=self._stderr_tail))
        self.gone.emit()

    @Slot(QProcess.ProcessError)
    def _on_error(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart:
            self._watch.stop()
            text = self._process.errorString()
            self._emit(
                Failed(
                    "start",
                    "The conversion could not be started.",
                    "Start Nibble again; if that does not help, install it again.",
                    f"{self._command[0]}: {text}",
                )
            )
            self.gone.emit()

    def _emit(self, event: Event) -> None:
        if self._ended:
            log.warning("ignored after the end: %r", event)
            return
        if isinstance(event, Started):
            self._stderr_tail = ""
        self._ended = isinstance(event, FINAL)
        self.reported.emit(event)


_CAUSES = {
    9: (
        "memory",
        "The system stopped the conversion, most likely because memory ran out.",
        "Close other programs and try again; it goes on where it stood.",
    ),
    7: (
        "file",
        "A file was changed or became unreachable while it was being read.",
        "Check that the disk is still connected and that nothing else writes to the model.",
    ),
    11: (
        "crash",
        "A part of Nibble crashed while it worked on this model.",
        "Try again; it goes on where it stood. If it crashes again, its log says more.",
    ),
    4: (
        "processor",
        "This processor lacks an instruction that the conversion needs.",
        "Install Nibble's version for your processor, or update PyTorch.",
    ),
    15: (
        "stopped",
        "Another program ended the conversion.",
        "Try again; it goes on where it stood.",
    ),
}
_UNKNOWN = (
    "crash",
    "The conversion ended unexpectedly.",
    "Try again; it goes on where it stood. If it ends again, its log says more.",
)
_HUNG = (
    "hang",
    "The conversion had stopped responding, so it was ended.",
    "Check the disk, then try again; it goes on where it stood.",
)


def cause(code: int, *, crashed: bool, hung: bool, details: str) -> Failed:
    """What the end of a process without a last word most likely means.

    Args:
        code: Exit code, or the number of the signal if it crashed.
        crashed: Whether a signal ended it.
        hung: Whether it was killed for its silence.
        details: The end of what it wrote to its log.
    """
    kind, title, hint = _UNKNOWN
    how = f"exit code {code}"
    if crashed:
        kind, title, hint = _CAUSES.get(code, _UNKNOWN)
        name = next((item.name for item in signal.Signals if item == code), "")
        how = f"signal {code} {name}".strip()
    if hung:
        kind, title, hint = _HUNG
    return Failed(kind, title, hint, f"{how}\n{details}".strip())
