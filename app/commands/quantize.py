"""`nibble quantize MODEL --format F`: one job, from the command line."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import ClassVar

from typing_extensions import override

from app.commands.base import INTERRUPTED, Answer, Command
from app.commands.dry_run import dry_run
from app.commands.needs import needs_of, needs_text
from app.commands.recipe import add_recipe_options, recipe_of
from app.commands.terminal import ProgressLine, positive
from app.core import words
from app.core.errors import Unsupported
from app.core.events import Failed, Note, ResultDone, Started
from app.core.hub import hub_id
from app.core.job import Job, Output, State, new_id
from app.core.lock import FileLock, is_locked
from app.core.names import result_name
from app.core.places import jobs_folder
from app.core.recipe import Recipe
from app.core.report import Report, load_report
from app.core.runtime import starts
from app.core.store import JobStore


class Quantize(Command):
    """Runs the same generator as the window's worker, in this process."""

    name: ClassVar[str] = "quantize"
    help: ClassVar[str] = "convert a model"

    @override
    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("model", help="a folder, a .gguf file, sample, or org/name on the hub")
        parser.add_argument(
            "--format",
            required=True,
            type=_names,
            action="extend",
            help="one or several: Q4_K_M,Q8_0 (repeatable; see: nibble formats)",
        )
        parser.add_argument(
            "--out",
            type=Path,
            help="file or folder to write, or the folder for several (default: here, by their "
            "names)",
        )
        parser.add_argument(
            "--lora",
            type=adapter,
            action="append",
            default=[],
            metavar="FOLDER[=SCALE]",
            help="adapter to merge into the model first (repeatable)",
        )
        parser.add_argument("--device", default="cpu", help="cpu, cuda:0, mps (default: cpu)")
        parser.add_argument("--threads", type=positive, default=0, help="default: all cores")
        parser.add_argument("--overwrite", action="store_true", help="replace an existing result")
        parser.add_argument(
            "--no-evaluate", action="store_true", help="do not measure what was lost"
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="only say what would be made, from headers alone"
        )
        add_recipe_options(parser)

    @override
    def run(self, args: argparse.Namespace) -> Answer:
        from app.formats import find_preset

        presets = [find_preset(name)[1] for name in dict.fromkeys(args.format)]
        recipes = [recipe_of(args, preset) for preset in presets]
        job = _job(args, recipes)
        if args.dry_run:
            return dry_run(job)
        store = JobStore(jobs_folder())
        begun = _unfinished(store, job)
        job = begun or job
        if not store.folder(job.id).exists():
            store.create(job)
        lock = FileLock(store.running_lock(job.id))
        lock.acquire()
        try:
            return _run(job, store, is_new=not begun)
        except KeyboardInterrupt:
            hint = "Run the same command again: it goes on where it stood."
            store.append(job.id, Failed("interrupted", "You stopped this job.", hint))
            return Answer(f"Stopped. {hint}", {"state": "interrupted"}, INTERRUPTED)
        finally:
            lock.release()


def _names(text: str) -> list[str]:
    return [name for name in map(str.strip, text.split(",")) if name]


def adapter(text: str) -> tuple[str, float]:
    """An argument that is a folder, and how much of it is wanted: FOLDER or FOLDER=0.5."""
    path, _, scale = text.rpartition("=")
    try:
        return (str(Path(path).absolute()), float(scale)) if path else (_absolute(text), 1.0)
    except ValueError:
        return _absolute(text), 1.0


def _absolute(text: str) -> str:
    return str(Path(text).absolute())


def _job(args: argparse.Namespace, recipes: Sequence[Recipe]) -> Job:
    source, model = _source(args.model)
    named = "-".join((model, *(Path(path).name for path, _ in args.lora)))
    return Job(
        id=new_id(),
        source=source,
        outputs=tuple(
            Output(str(_target(args.out, named, recipe, several=len(recipes) > 1)), recipe)
            for recipe in recipes
        ),
        device=args.device,
        threads=args.threads,
        evaluate=not args.no_evaluate,
        overwrite=args.overwrite,
        calibration=_absolute(args.calibration) if args.calibration else "",
        adapters=tuple(args.lora),
        samples=args.samples,
        length=args.length,
        seed=args.seed,
        origin="command",
    )


def _target(out: Path | None, model: str, recipe: Recipe, *, several: bool) -> Path:
    """The file to write; several go into one folder."""
    from app.formats import find_preset

    form, preset = find_preset(recipe.preset)
    name = result_name(model, preset.name, form.extension)
    target = out or Path.cwd() / name
    if out and several and out.is_file():
        raise Unsupported(f"{out.name} is a file.", "Several results need a folder to go to.")
    if out and (several or (out.is_dir() and form.extension)):
        target = out / name
    if recipe.split_bytes and target.suffix.lower() != form.extension:
        target = target.with_name(target.name + form.extension)  # parts are found by their names
    return target.absolute()


def _source(text: str) -> tuple[str, str]:
    """What the job reads, and the model's name."""
    from app.models import open_model
    from app.models.facts import model_facts

    on_hub = hub_id(text)
    if on_hub and not Path(text).exists():
        return text, on_hub[0].rpartition("/")[2]
    checkpoint = open_model(Path(text))
    return str(checkpoint.path.absolute()), model_facts(checkpoint).name


def _unfinished(store: JobStore, job: Job) -> Job | None:
    """The same job, begun before and cut off, so that it goes on and is listed once."""
    for other in store.jobs():
        same = replace(other.queued(), id=job.id, pid=0) == job
        ended = other.state in {State.RUNNING, State.FAILED}
        if same and ended and not is_locked(store.running_lock(other.id)):
            return store.requeue(other)
    return None


def _run(job: Job, store: JobStore, *, is_new: bool) -> Answer:
    from app.worker.awake import awake
    from app.worker.convert import convert
    from app.worker.failure import describe

    line = ProgressLine()
    reports: list[str] = []
    store.append(job.id, Started(os.getpid(), job.device))
    try:
        if is_new:
            line.show(Note(needs_text(needs_of(job))))
        with awake(), closing(convert(job, store.folder(job.id))) as events:
            for event in events:
                store.append(job.id, event)
                line.show(event)
                if isinstance(event, ResultDone):
                    reports.append(event.report)
    except Exception as error:
        store.append(job.id, describe(error))
        raise
    finally:
        line.clear()
    done = [load_report(Path(report)) for report in reports]
    return _together([Answer(_text(report), asdict(report)) for report in done])


def _together(answers: Sequence[Answer]) -> Answer:
    """One answer as it is; several as paragraphs, and as a list."""
    if len(answers) == 1:
        return answers[0]
    text = "\n\n".join(answer.text for answer in answers)
    return Answer(text, [answer.document for answer in answers])


def _text(report: Report) -> str:
    from app.evaluation.verdict import verdict

    share = report.bytes_after / max(1, report.bytes_before)
    sizes = f"{words.size(report.bytes_before)} -> {words.size(report.bytes_after)}"
    bits = f"{report.bits_per_weight:.2f} bits a weight"
    seconds = words.duration(report.seconds)
    lines = [report.target, f"{sizes} ({words.percent(share)}), {bits}, {seconds}"]
    if report.quality:
        found = verdict(report.quality)
        lines.append(f"{found.word}: {found.detail}")
    lines += [f"to run it: {start.command}" for start in starts(report.runs_in, report.target)]
    return "\n".join(lines)
