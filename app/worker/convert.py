"""The conversion itself: a generator of events.

Nothing here knows about processes, pipes or windows. Whoever drives the
generator decides what an event becomes: a line of JSON, a line of text, or an
item in a test's list. To stop, close it: what is done stays, and the next run goes
on there. To give up, call `discard` after that.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from app.advisor.calibration import Reading
from app.advisor.needs import check_memory
from app.advisor.speeds import conversion_kind, conversion_speeds
from app.calibration.checkpoint import LayerCheckpoint
from app.core.errors import BadModelFile
from app.core.events import Event, Finished, Note, Progress, ResultDone
from app.core.hub import is_hub_id
from app.core.job import Job
from app.core.partial import check_space, opened
from app.core.recipe import AUTOMATIC
from app.core.report import Report, load_report
from app.core.retelling import retold
from app.encodings.kernels import warm_up
from app.evaluation.tensor_error import Written, measure_results
from app.models.named_weights import NamedWeights
from app.worker.encoder import Encoder
from app.worker.fetch import fetch
from app.worker.files import ResultFiles, discard_results, refuse_existing
from app.worker.findings import Findings
from app.worker.folder import FolderFiles, discard_folder, refuse_folder
from app.worker.forecast import Stopwatch, forecast
from app.worker.importance import importances, must_calibrate
from app.worker.layers import Kept, LayerFiller
from app.worker.measure import measure
from app.worker.pipeline import Filling, Pipeline
from app.worker.ranges import find_ranges, learn_ranges, recall_ranges
from app.worker.reporting import make_report, with_measured
from app.worker.shown import show
from app.worker.stages import Stages
from app.worker.work import Result, Work


class SkipMeasuring(Exception):
    """Thrown into the generator while it measures: finish without the rest of it."""


def is_measuring(event: Event) -> bool:
    """Whether the results are in place already, and only their quality is being measured."""
    return isinstance(event, Progress) and event.phase == "evaluate"


def discard(job: Job) -> None:
    """Delete the unfinished results of a job that was given up."""
    discard_results(job.outputs)
    for output in job.outputs:
        discard_folder(Path(output.target))


def convert(job: Job, folder: Path) -> Generator[Event]:
    """Make `job.outputs` from `job.source`.

    Args:
        job: What is wanted.
        folder: Where the reports go, and what the next run has to know of this one.

    Raises:
        AppError: It cannot be done; unfinished work stays for another try.
    """
    yield Progress("prepare", 0, 0, "reading the model")
    stages: Stages | None = None
    if is_hub_id(job.source):
        job, stages = yield from fetch(job, folder)
    work = Work.of(job)
    plans = [result.plan for result in work.results]
    stages = stages or Stages.of(job, plans, calibrate=must_calibrate(job, work.source))
    yield from _prepare(work, folder)
    parts = 1 + any(one.plan.ranges and not one.smooths_ranges for one in work.results)
    watch = Stopwatch()
    weighing = retold(importances(job, work.source), watch.see)
    found = yield from stages.place("calibrate", weighing, 0, parts)
    if AUTOMATIC in found:
        chunks = found[AUTOMATIC].facts.chunks
        watch.keep(job.device, Reading.for_importance(plans[0], work.source, chunks))
    work = work.weighed(found)
    yield from stages.place("calibrate", find_ranges(work, folder), parts - 1, parts)
    yield from map(Note, work.notes())
    outcomes = [_Outcome.of(work, result, folder) for result in work.results]
    yield from _write(work, stages, outcomes)
    if job.evaluate:
        yield from _measure(work, stages, outcomes)
    yield Finished()


@dataclass(frozen=True, slots=True)
class _Outcome:
    """A result on its way to its place."""

    result: Result
    files: ResultFiles
    path: Path
    """Of its report."""
    folds: Path
    """Of the factors that its weights were smoothed with."""
    ranges: Path
    """Of what the smoothed model's inputs were seen to be."""
    findings: Findings
    """What fitting it has shown."""
    fingerprint: str

    @classmethod
    def of(cls, work: Work, result: Result, folder: Path) -> _Outcome:
        mark, fingerprint = _mark(folder, result), work.fingerprint(result)
        kind = FolderFiles if result.plan.is_folder else ResultFiles
        files = kind(result.target, result.plan, fingerprint, mark)
        folds = folder / f"folds-{result.number}.safetensors"
        if result.folded:
            result.folded.load(folds, fingerprint)
        ranges = folder / f"ranges-{result.number}.json"
        if result.smooths_ranges:
            recall_ranges(result, ranges, fingerprint)
        report = folder / f"report-{result.number}.json"
        smoothing = result.treatment.smoothing.name if result.treatment.smoothing else ""
        findings = Findings(folder / f"findings-{result.number}.json", fingerprint, smoothing)
        return cls(result, files, report, folds, ranges, findings.recall(), fingerprint)

    def report(self) -> Report | None:
        """What an earlier run has reported."""
        try:
            return load_report(self.path)
        except BadModelFile:
            return None

    def written(self) -> Written:
        result, paths = self.result, self.files.paths()
        return Written(result.conversion, result.plan, result.form.open(paths[0], paths))

    def keep_folds(self) -> None:
        """Before anything is written with them: verifying needs them, in whatever run."""
        if self.result.folded:
            self.result.folded.save(self.folds, self.fingerprint)

    def done(self) -> ResultDone:
        return ResultDone(self.result.number, str(self.path))

    def filling(self) -> Filling:
        result = self.result
        return Filling(
            result.number,
            result.conversion,
            result.plan,
            result.treatment,
            result.importance,
            self.files.to_open(),
        )


def _prepare(work: Work, folder: Path) -> Iterator[Event]:
    """Refuse what cannot work before anything takes long, and load what will be needed."""
    for result in work.results:
        begun = _mark(folder, result).exists()  # then a later look tells whose file it is
        replaced = work.job.overwrite or begun
        if result.plan.is_folder:
            refuse_folder(result.target, overwrite=replaced)
        elif not replaced:
            refuse_existing(result.paths)
    yield from _check_memory(work)
    automatic = [
        result.plan.preset
        for result in work.results
        if result.output.recipe.importance == AUTOMATIC
    ]
    if automatic:
        text = Path(work.job.calibration).name if work.job.calibration else "Nibble's own text"
        yield Note(f"{', '.join(automatic)}: made with an importance matrix of {text}.")
    names = {tensor.encoding for result in work.results for tensor in result.plan.tensors}
    weighed = any(result.output.recipe.importance for result in work.results)
    for name in warm_up(names, weighed=weighed):
        yield Progress("prepare", 0, 0, f"loading the {name} kernel")


def _check_memory(work: Work) -> Iterator[Note]:
    """Refuse what cannot work, and warn of what may not; the disk is checked by `opened`.

    Raises:
        NotEnoughSpace: There is less free memory than the job takes at the least.
    """
    needs = forecast(work.job, work.source, [result.plan for result in work.results])
    check_memory(needs)
    if needs.memory > needs.memory_free:
        yield Note(needs.problem)


def _write(work: Work, stages: Stages, outcomes: Sequence[_Outcome]) -> Generator[Event]:
    """Quantize what is missing in one pass; check and place each result."""
    for outcome in outcomes:
        if not work.job.overwrite:
            outcome.files.refuse_existing()
    clock = time.monotonic()
    missing = [outcome for outcome in outcomes if not outcome.files.is_whole]
    with opened([file for outcome in outcomes for file in outcome.files.to_open()]):
        whole = not any(outcome.files.is_resumed for outcome in missing)
        if missing:
            yield from _notes_once(_fill(work, stages, missing))
            work.check_source_unchanged()
        seconds = time.monotonic() - clock
        yield from stages.place("verify", _check(work, outcomes, seconds))
    calibrated = any(result.is_calibrated for result in work.results)
    if whole and len(missing) == len(work.results) == 1 and not calibrated:
        seconds, recipe = time.monotonic() - clock, work.results[0].output.recipe
        kind, nbytes = conversion_kind(recipe), work.source.nbytes
        conversion_speeds().add(work.job.device, kind, nbytes, seconds)


def _fill(work: Work, stages: Stages, missing: Sequence[_Outcome]) -> Generator[Event]:
    """Quantize in one pass what needs no more than weights; then, one by one, what does."""
    encoder = Encoder(work.job.device)
    plain = [outcome.filling() for outcome in missing if not outcome.result.is_calibrated]
    if plain:
        pipeline = Pipeline(plain, encoder, work.threads)
        yield from stages.place("quantize", pipeline.run())
    calibrated = [outcome for outcome in missing if outcome.result.is_calibrated]
    steps = [step for outcome in calibrated for step in _fit(work, outcome, encoder)]
    for part, step in enumerate(steps):
        yield from stages.place("fit", step, part, len(steps))


def _fit(work: Work, outcome: _Outcome, encoder: Encoder) -> Iterator[Generator[Event]]:
    """The steps of one result."""
    filling = outcome.filling()
    if not outcome.result.smooths_ranges:
        yield _fill_by_layers(work, outcome, filling, encoder)
        return
    weights = filling.of(lambda tensor: bool(tensor.sources))
    yield _fill_by_layers(work, outcome, weights, encoder)
    scales = filling.of(lambda tensor: not tensor.sources)
    yield _fill_scales(work, outcome, scales, encoder)


def _notes_once(events: Generator[Event]) -> Generator[Event]:
    """Without notes that were given before: results of one job are shown the same text."""
    told: set[Event] = set()
    with closing(events):
        for event in events:
            if event in told:
                continue
            if isinstance(event, Note):
                told.add(event)
            yield event


def _fill_by_layers(
    work: Work, outcome: _Outcome, filling: Filling, encoder: Encoder
) -> Generator[Event]:
    result, files, findings = outcome.result, outcome.files, outcome.findings
    states = LayerCheckpoint(files.states, key=outcome.fingerprint)
    if filling.is_whole(encoder.slice_weights):
        states.forget()
        yield from map(Note, findings.notes())
        return
    shown = yield from retold(show(work.job, work.source, result.plan), findings.hear)

    def written() -> NamedWeights:
        found = result.form.open_unfinished(result.plan, files.paths(), work.source)
        return NamedWeights(found, shown.source.description)

    kept = Kept(written, states, findings, result.folded, outcome.keep_folds)
    filler = LayerFiller(shown, filling, encoder, work.threads, kept)
    check_space(files.to_open())  # hidden states may have taken some of it
    watch = Stopwatch()
    yield from retold(filler.run(), watch.see)
    yield from map(Note, findings.notes())
    if shown.place.full:
        yield Note(f"The memory of {shown.place.full} was too small: the processor went on.")
    elif not files.is_resumed:
        reading = Reading.for_method(work.job, result.treatment, result.plan, work.source)
        watch.keep(work.job.device, replace(reading, tokens=shown.windows.numel()))


def _fill_scales(
    work: Work, outcome: _Outcome, filling: Filling, encoder: Encoder
) -> Generator[Event]:
    """Write what is only known once all weights are smoothed: how large inputs then get."""
    result = outcome.result
    assert result.folded is not None
    if not result.conversion.learned:
        shown = yield from show(work.job, work.source, result.plan)
        smoothed = NamedWeights(result.folded)
        yield from learn_ranges([result], smoothed, shown, outcome.ranges, outcome.fingerprint)

    def at_the_end(event: Event) -> Event:  # a few bytes
        return replace(event, overall=1.0) if isinstance(event, Progress) else event

    yield from retold(Pipeline([filling], encoder, work.threads).run(), at_the_end)


def _check(work: Work, outcomes: Sequence[_Outcome], seconds: float) -> Generator[Event]:
    """Check what is on the disk, and only then give it its names and report it."""
    unchecked = []
    for outcome in outcomes:
        if outcome.files.is_placed and outcome.report():
            yield outcome.done()
        else:
            unchecked.append(outcome)
    clock = time.monotonic()
    found = yield from measure_results([one.written() for one in unchecked], work.threads)
    seconds += time.monotonic() - clock
    for outcome, tensors in zip(unchecked, found, strict=True):
        if not outcome.files.is_placed:
            outcome.path.unlink(missing_ok=True)  # it may be of an earlier run
            outcome.files.place()
        report = make_report(work, outcome.result, tensors, seconds, outcome.findings.notes())
        report.save(outcome.path)
        outcome.files.complete(report)
        yield outcome.done()


def _measure(work: Work, stages: Stages, outcomes: Sequence[_Outcome]) -> Generator[Event]:
    """Measure what no earlier run has measured, and put it into the reports."""
    reports = [(outcome, outcome.report()) for outcome in outcomes]
    wanted = [(outcome, found) for outcome, found in reports if found and not found.quality]
    if not wanted:
        _complete(outcomes)  # an earlier run may have come to its reports only
        return
    measuring = measure(work, [outcome.result for outcome, _ in wanted])
    try:
        measured = yield from stages.place("evaluate", measuring)
    except SkipMeasuring:
        yield Note("The measurement was stopped; the file itself is complete.")
        return
    for (outcome, report), found in zip(wanted, measured, strict=True):
        with_measured(report, found).save(outcome.path)
    _complete(outcomes)


def _complete(outcomes: Sequence[_Outcome]) -> None:
    """Say in the results what the reports tell."""
    for outcome in outcomes:
        if report := outcome.report():
            outcome.files.complete(report)


def _mark(folder: Path, result: Result) -> Path:
    return folder / f"written-{result.number}.json"
