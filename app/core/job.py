"""A job and the one rule by which events change it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from itertools import zip_longest
from typing import assert_never

from app.core.events import (
    Cancelled,
    Event,
    Failed,
    Finished,
    Note,
    Progress,
    ResultDone,
    Started,
    TensorDone,
)
from app.core.recipe import Recipe

_LATER = ("samples", "length", "seed")
"""Fields that requests of earlier versions do not have."""
_REQUEST = (
    "id",
    "source",
    "device",
    "threads",
    "evaluate",
    "overwrite",
    "calibration",
    "origin",
)


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
class Output:
    """One result of a job."""

    target: str
    """Path of the file or folder to write."""
    recipe: Recipe


@dataclass(frozen=True, slots=True)
class Job:
    """One requested conversion and how far it has come.

    All of its results are made from one reading of the source.
    """

    id: str
    source: str
    """Path of the checkpoint, a folder or a .gguf file, or its id on the hub: "org/name"."""
    outputs: tuple[Output, ...]
    """What to make of it; at least one."""
    device: str = "cpu"
    threads: int = 0
    """Processor threads to use; 0 means as many as there are cores."""
    evaluate: bool = True
    """Whether to measure perplexity and KL divergence of the result."""
    overwrite: bool = False
    """Whether an existing target may be replaced."""
    calibration: str = ""
    """Path of the text or chats that the model is shown, where a recipe wants to see it at work;
    "" for the text that comes with the program."""
    adapters: tuple[tuple[str, float], ...] = ()
    """Paths of LoRA adapters to merge into the source first, each with its scale."""
    origin: str = "window"
    """Who runs it: "window" or "command"."""
    samples: int = 0
    """Windows of the calibration text, at most; 0 for the usual number."""
    length: int = 0
    """Tokens of each; 0 for the usual number."""
    seed: int = 0
    """Which windows of a longer text; 0 for the first ones."""
    state: State = State.QUEUED
    pid: int = 0
    """Process that runs it, or ran it last."""
    progress: Progress | None = None
    problem: Failed | None = None
    reports: tuple[str, ...] = ()
    """Paths of the reports by output; "" for those that are not finished."""
    notes: tuple[str, ...] = ()

    @property
    def target(self) -> str:
        """Of the first result."""
        return self.outputs[0].target

    @property
    def recipe(self) -> Recipe:
        """Of the first result."""
        return self.outputs[0].recipe

    @property
    def presets(self) -> tuple[str, ...]:
        """Of all results, in their order."""
        return tuple(output.recipe.preset for output in self.outputs)

    @property
    def report(self) -> str:
        """Path of the first report that is there; "" if there is none."""
        return next(filter(None, self.reports), "")

    def after(self, event: Event) -> Job:
        """The same job once `event` has happened."""
        match event:
            case Started():
                return replace(self._fresh(), state=State.RUNNING, pid=event.pid)
            case Progress():
                return replace(self, progress=event)
            case Note():
                return replace(self, notes=(*self.notes, event.text))
            case TensorDone():
                return self
            case ResultDone():
                return replace(self, reports=self._reports_with(event))
            case Finished():
                return replace(self, state=State.FINISHED)
            case Failed():
                return replace(self, state=State.FAILED, problem=event)
            case Cancelled():
                return replace(self, state=State.CANCELLED)
        assert_never(event)

    def queued(self) -> Job:
        """The same job, waiting for another run."""
        return replace(self._fresh(), state=State.QUEUED)

    def request(self) -> str:
        """The line that starts a worker on this job."""
        fields = {key: getattr(self, key) for key in _REQUEST + _LATER}
        outputs = [{"target": o.target, "recipe": o.recipe.to_json()} for o in self.outputs]
        everything = {**fields, "adapters": self.adapters, "outputs": outputs}
        return json.dumps(everything, ensure_ascii=False)

    @classmethod
    def from_request(cls, line: str | bytes) -> Job:
        """Inverse of `request`.

        Raises:
            ValueError: The line is not a request.
        """
        try:
            fields = json.loads(line)
            outputs = tuple(
                Output(output["target"], Recipe.from_json(output["recipe"]))
                for output in fields["outputs"]
            )
            adapters = tuple((path, scale) for path, scale in fields["adapters"])
            plain = {key: fields[key] for key in _REQUEST}
            plain |= {key: fields[key] for key in _LATER if key in fields}
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"not a job request: {line!r}") from error
        if not outputs:
            raise ValueError(f"a job request without a result: {line!r}")
        return cls(outputs=outputs, adapters=adapters, **plain)

    def _fresh(self) -> Job:
        """Without what happened in an earlier run."""
        return replace(self, progress=None, problem=None, reports=(), notes=())

    def _reports_with(self, event: ResultDone) -> tuple[str, ...]:
        return tuple(
            event.report if number == event.output else known
            for number, (known, _) in enumerate(
                zip_longest(self.reports, self.outputs, fillvalue="")
            )
        )


def new_id() -> str:
    """An identifier that sorts by time and is a safe file name."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S-%f}-{secrets.token_hex(2)}"


def next_to_run(jobs: Iterable[Job], busy: Collection[str]) -> Job | None:
    """The first waiting job whose device is free; one job at a time per device."""
    waiting = (job for job in jobs if job.state is State.QUEUED and job.device not in busy)
    return next(waiting, None)
