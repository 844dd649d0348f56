"""What a job takes, said before it starts; and how fast it was, for the next time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from app.advisor.calibration import Reading
from app.advisor.needs import job_needs
from app.advisor.speeds import calibration_speeds
from app.core.events import Progress
from app.core.job import Job
from app.core.needs import JobNeeds
from app.core.plan import Plan
from app.devices import look
from app.models.base import Checkpoint
from app.worker.importance import must_calibrate
from app.worker.work import threads_of

Heard = TypeVar("Heard")


def forecast(job: Job, source: Checkpoint, plans: Sequence[Plan]) -> JobNeeds:
    """What a job takes on this computer as it is now."""
    machine = look(Path.cwd())
    machine = replace(machine, cpu=replace(machine.cpu, threads=threads_of(job)))
    return job_needs(job, plans, source, machine, computes_importance=must_calibrate(job, source))


class Stopwatch:
    """Times a calibration by what it says of its progress: loading a program does not count."""

    def __init__(self) -> None:
        self._begun: tuple[float, float] | None = None
        self._now = (0.0, 0.0)

    def see(self, event: Heard) -> Heard:
        """Look at something that was said."""
        if isinstance(event, Progress):
            self._now = event.overall, time.monotonic()
            self._begun = self._begun or self._now
        return event

    def keep(self, device: str, reading: Reading) -> None:
        """Remember how fast that was; nothing where nothing was read."""
        if self._begun is None:
            return
        share, seconds = (now - then for now, then in zip(self._now, self._begun, strict=True))
        speeds = calibration_speeds()
        speeds.add(device, reading.kind, share * reading.multiplications, seconds)
