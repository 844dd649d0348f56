"""The first stage of a job whose model is on the hub: bring it here.

Before any weight is downloaded, the conversion is planned from the model's headers: a model
that cannot be converted, or a disk that cannot hold both, is found out at once. The commit is
remembered with the job, so that a job that goes on later goes on with the same model.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from app.core.errors import AppError
from app.core.events import Event, Note, Progress
from app.core.files import disk_of, write_atomic
from app.core.hub import HubModelDetails, hub_id
from app.core.job import Job
from app.formats import find_preset
from app.hub.client import Client
from app.hub.details import model
from app.hub.download import Wish, download, remaining_bytes
from app.hub.names import headers_folder, model_folder
from app.hub.remote import open_remote
from app.hub.selection import GGUF, Selection, select
from app.worker.stages import Stages


def fetch(job: Job, folder: Path) -> Generator[Event, None, tuple[Job, Stages]]:
    """Download the model of `job`, unless it is here.

    Args:
        job: Its source is the id of a model on the hub.
        folder: Of the job; remembers which commit it is about.

    Returns:
        The job with the downloaded model as its source, and its stages.

    Raises:
        AppError: The model cannot be had or cannot be converted.
    """
    named = hub_id(job.source)
    assert named is not None
    repo, revision = named
    with Client() as client:
        yield Progress("prepare", 0, 0, f"looking at {repo}")
        details = _details(client, repo, revision, folder / "model.json")
        selection = select(details)
        place = model_folder(repo, details.commit)
        yield Progress("prepare", 0, 0, f"reading the headers of {repo}")
        checkpoint = open_remote(client, details)
        plans = [
            find_preset(output.recipe.preset)[0].prepare(checkpoint).plan(output.recipe)
            for output in job.outputs
        ]
        selection = selection.narrowed(headers_folder(repo, details.commit))
        wish = Wish(details, selection, place)
        missing = remaining_bytes(wish)
        stages = Stages.of(job, plans, to_fetch=missing)
        if missing:
            after = sum(
                plan.total_bytes
                for plan, output in zip(plans, job.outputs, strict=True)
                if _same_disk(place, Path(output.target))
            )
            arriving = download(client, replace(wish, bytes_after=after))
            with closing(stages.place("download", arriving)) as events:
                yield from events
            yield Note(f"Downloaded {repo}, version {details.commit[:12]}, and checked every file.")
    return replace(job, source=str(_source(place, selection))), stages


def _details(client: Client, repo: str, revision: str, note: Path) -> HubModelDetails:
    """The model's page: the one this job began with, if it has begun."""
    try:
        details = HubModelDetails.from_json(json.loads(note.read_bytes()))
    except (OSError, ValueError):
        pass
    else:
        if details.model.id == repo:
            return details
    details = model(client, repo, revision, card=False)
    write_atomic(note, json.dumps(details.to_json()).encode())
    return details


def _source(place: Path, selection: Selection) -> Path:
    return place / selection.weights[0].name if selection.kind == GGUF else place


def _same_disk(one: Path, other: Path) -> bool:
    try:
        return disk_of(one) == disk_of(other)
    except OSError as error:
        raise AppError(f"{other} cannot be used.", "Choose another place.", repr(error)) from error
