"""A job and the one rule by which events change it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import assert_never

from app.core.events import (
    Cancelled,
    Event,
    Failed,
    Finished,
    Note,
    Progress,
    Started,
    TensorDone,
)
from app.core.recipe import Recipe

_REQUEST = ("id", "source", "target", "device", "threads", "evaluate", "overwrite", "origin")


class State(StrEnum):
    """The life of a job. Only QUEUED and RUNNING can still change by themselves."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens unless the user asks for it."""
        return self not in {State.QUEUED, State.RUNNING}


@dataclass(frozen=True, slots=True)
class Job:
    """One requested conversion and how far it has come."""

    id: str
    source: str
    """Path of the checkpoint, a folder or a .gguf file, or its id on the hub: "org/name"."""
    target: str
    """Path of the file or folder to write."""
    recipe: Recipe
    device: str = "cpu"
    threads: int = 0
    """Processor threads to use; 0 means as many as there are cores."""
    evaluate: bool = True
    """Whether to measure perplexity and KL divergence of the result."""
    overwrite: bool = False
    """Whether an existing target may be replaced."""
    origin: str = "window"
    """Who runs it: "window" or "command"."""
    state: State = State.QUEUED
    pid: int = 0
    """Process that runs it, or ran it last."""
    progress: Progress | None = None
    problem: Failed | None = None
    report: str = ""
    """Path of the report, once finished."""
    notes: tuple[str, ...] = field(default=())

    def after(self, event: Event) -> Job:
        """The same job once `event` has happened."""
        match event:
            case Started():
                return replace(
                    self, state=State.RUNNING, pid=event.pid, problem=None, progress=None, notes=()
                )
            case Progress():
                return replace(self, progress=event)
            case Note():
                return replace(self, notes=(*self.notes, event.text))
            case TensorDone():
                return self
            case Finished():
                return replace(self, state=State.FINISHED, report=event.report)
            case Failed():
                return replace(self, state=State.FAILED, problem=event)
            case Cancelled():
                return replace(self, state=State.CANCELLED)
        assert_never(event)

    def queued(self) -> Job:
        """The same job, waiting for another run."""
        return replace(self, state=State.QUEUED, progress=None, problem=None, report="", notes=())

    def request(self) -> str:
        """The line that starts a worker on this job."""
        fields = {key: getattr(self, key) for key in _REQUEST}
        return json.dumps({**fields, "recipe": self.recipe.to_json()}, ensure_ascii=False)

    @classmethod
    def from_request(cls, line: str | bytes) -> Job:
        """Inverse of `request`.

        Raises:
            ValueError: The line is not a request.
        """
        try:
            fields = json.loads(line)
            recipe = Recipe.from_json(fields.pop("recipe"))
            return cls(recipe=recipe, **{key: fields[key] for key in _REQUEST})
        except (AttributeError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"not a job request: {line!r}") from error


def new_id() -> str:
    """An identifier that sorts by time and is a safe file name."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S-%f}-{secrets.token_hex(2)}"


def next_to_run(jobs: Iterable[Job], busy: Collection[str]) -> Job | None:
    """The first waiting job whose device is free; one job at a time per device."""
    waiting = (job for job in jobs if job.state is State.QUEUED and job.device not in busy)
    return next(waiting, None)
