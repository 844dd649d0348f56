"""`nibble needs REQUEST`: what a job takes, before it starts.

With --json, one document: `core.needs.JobNeeds`. People get the same from
`nibble quantize ... --dry-run`, and at the start of every job.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from app.commands.base import Answer, Command
from app.core.errors import Unsupported
from app.core.hub import is_hub_id
from app.core.job import Job
from app.core.needs import JobNeeds
from app.core.plan import Plan
from app.core.recipe import Recipe
from app.core.words import size

if TYPE_CHECKING:
    from app.models.base import Checkpoint


class Needs(Command):
    """Reads headers and config only, and asks the computer what is free."""

    name: ClassVar[str] = "needs"
    help: ClassVar[str] = "say how much memory and time a job takes"

    @override
    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("request", help="a job, as its folder's request.json has it")

    @override
    def run(self, args: argparse.Namespace) -> Answer:
        try:
            job = Job.from_request(args.request)
        except ValueError as error:
            raise Unsupported("This is not a job's request.", details=str(error)) from error
        needs = needs_of(job)
        return Answer(needs_text(needs), asdict(needs))


def needs_of(job: Job) -> JobNeeds:
    """What a job takes.

    Raises:
        AppError: Its model cannot be read, or a recipe not be applied to it.
    """
    from app.worker.forecast import forecast

    return forecast(job, *planned(job))


def planned(job: Job) -> tuple[Checkpoint, list[Plan]]:
    """What a job reads, and the results that it would have. See `needs_of`."""
    source = _open(job.source)
    return source, [_plan(output.recipe, source) for output in job.outputs]


def _plan(recipe: Recipe, source: Checkpoint) -> Plan:
    from app.calibration.treatment import Treatment
    from app.formats import find_preset

    form, _ = find_preset(recipe.preset)
    return Treatment.of(recipe.method, recipe.options).noted(form.prepare(source).plan(recipe))


def _open(model: str) -> Checkpoint:
    """A model; of one on the hub, its headers."""
    from app.models import open_model

    if not is_hub_id(model) or Path(model).exists():
        return open_model(Path(model))
    from app.commands.download import named
    from app.hub.client import Client
    from app.hub.details import model as details_of
    from app.hub.remote import open_remote

    with Client() as client:
        return open_remote(client, details_of(client, *named(model)))


def needs_text(needs: JobNeeds) -> str:
    """What a job takes, in a sentence or two."""
    parts = [
        f"{size(needs.disk)} of disk ({size(needs.disk_free)} free)",
        f"up to {size(needs.memory)} of memory ({size(needs.memory_free)} free)",
    ]
    if needs.card:
        parts.append(f"{size(needs.card)} of the graphics card")
    parts.append(_time(needs))
    text = f"This takes {', '.join(parts[:-1])}, and {parts[-1]}."
    return f"{text} {needs.problem}".strip()


def _time(needs: JobNeeds) -> str:
    span = needs.seconds or needs.importance
    if span is None:
        return "a time that is not known before the first one"
    only = "" if needs.seconds else " for its importance matrix alone"
    return f"{span}{only}"
