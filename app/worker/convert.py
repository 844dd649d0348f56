"""The conversion itself: a generator of events.

Nothing here knows about processes, pipes or windows. Whoever drives the
generator decides what an event becomes: a line of JSON, a line of text, or an
item in a test's list. To stop, close it: what is done stays, and the next run goes
on there. To give up, call `discard` after that.
"""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from app.advisor.conversion import check_memory, conversion_needs
from app.advisor.speeds import MeasuredSpeeds
from app.core.errors import Unsupported
from app.core.events import Event, Finished, Note, Progress, ResultDone
from app.core.files import write_atomic
from app.core.hub import is_hub_id
from app.core.job import Job
from app.core.partial import PartialFile, discard_partial
from app.core.report import TensorResult
from app.devices import look
from app.encodings.kernels import warm_up
from app.evaluation.tensor_error import measure_tensors
from app.worker.encoder import Encoder
from app.worker.fetch import fetch
from app.worker.measure import Measured, measure
from app.worker.pipeline import Pipeline
from app.worker.reporting import make_report
from app.worker.stages import Stages
from app.worker.work import Work


class SkipMeasuring(Exception):
    """Thrown into the generator while it measures: finish without the rest of it."""


def is_measuring(event: Event) -> bool:
    """Whether the result is in place already, and only its quality is being measured."""
    return isinstance(event, Progress) and event.phase == "evaluate"


def discard(job: Job) -> None:
    """Delete the unfinished result of a job that was given up."""
    discard_partial(Path(job.target))


def convert(job: Job, folder: Path) -> Generator[Event]:
    """Make `job.target` from `job.source`.

    Args:
        job: What is wanted.
        folder: Where the report goes, and what the next run has to know of this one.

    Raises:
        AppError: It cannot be done; unfinished work stays for another try.
    """
    yield Progress("prepare", 0, 0, "reading the model")
    stages: Stages | None = None
    if is_hub_id(job.source):
        job, stages = yield from fetch(job, folder)
    work = Work.of(job)
    stages = stages or Stages.of(work)
    yield from (Note(text) for text in work.plan.notes)
    for name in warm_up({tensor.encoding for tensor in work.plan.tensors}):
        yield Progress("prepare", 0, 0, f"loading the {name} kernel")
    mark = _Mark(folder / "written.json", work)
    clock = time.monotonic()
    if mark.is_true():
        tensors = yield from stages.place("verify", _verify(work, work.target))
    else:
        tensors = yield from _write(work, stages, mark)
    seconds = time.monotonic() - clock
    measured = Measured()
    if job.evaluate:
        try:
            measured = yield from stages.place("evaluate", measure(work))
        except SkipMeasuring:
            yield Note("The measurement was stopped; the file itself is complete.")
    report = make_report(work, tensors, measured, seconds)
    report.save(folder / "report-0.json")
    yield ResultDone(0, str(folder / "report-0.json"))
    yield Finished()


def _write(
    work: Work, stages: Stages, mark: _Mark
) -> Generator[Event, None, tuple[TensorResult, ...]]:
    """Quantize, check what is on disk, and only then give it its name."""
    if work.target.exists() and not work.job.overwrite:
        raise Unsupported(
            f"There is a file called {work.target.name} already.",
            "Choose another name, or allow it to be replaced.",
        )
    yield from _check_memory(work)
    partial = PartialFile(work.target, work.plan.total_bytes, work.fingerprint)
    partial.open()
    with closing(partial):
        clock, whole = time.monotonic(), not partial.is_resumed
        encoder = Encoder(work.method, work.job.device)
        pipeline = Pipeline(work.conversion, work.plan, encoder, work.threads)
        yield from stages.place("quantize", pipeline.run(partial))
        work.check_source_unchanged()
        tensors = yield from stages.place("verify", _verify(work, partial.path))
        mark.set(partial.path)
        partial.commit()
        if whole:
            seconds = time.monotonic() - clock
            MeasuredSpeeds().add(work.job.device, work.plan.preset, work.source.nbytes, seconds)
    return tensors


def _check_memory(work: Work) -> Iterator[Note]:
    """Refuse what cannot work, and warn of what may not; the disk is checked by `PartialFile`.

    Raises:
        NotEnoughSpace: There is less free memory than the job takes at the least.
    """
    machine = look(Path.cwd())
    machine = replace(machine, cpu=replace(machine.cpu, threads=work.threads))
    needs = conversion_needs(
        work.plan, work.source.nbytes, work.target, machine, device=work.job.device
    )
    check_memory(needs)
    if needs.memory > needs.memory_free:
        yield Note(needs.problem)


def _verify(work: Work, path: Path) -> Generator[Event, None, tuple[TensorResult, ...]]:
    result = work.form.open(path)
    return (yield from measure_tensors(work.conversion, work.plan, result, work.threads))


@dataclass(frozen=True, slots=True)
class _Mark:
    """Remembers that the target is complete, for a job cut off while it measured.

    It is set just before the file gets its name, and is true only once it has it: renaming
    changes neither a file's size nor its time.
    """

    path: Path
    work: Work

    def set(self, complete: Path) -> None:
        write_atomic(self.path, json.dumps(self._facts(complete)).encode())

    def is_true(self) -> bool:
        try:
            facts: object = json.loads(self.path.read_bytes())
            return facts == self._facts(self.work.target)
        except (OSError, ValueError):
            return False

    def _facts(self, file: Path) -> list[object]:
        stat = file.stat()
        return [self.work.fingerprint, stat.st_size, stat.st_mtime_ns]
