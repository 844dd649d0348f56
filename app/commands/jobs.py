"""`nibble jobs`: what was asked for, and how far it is."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import ClassVar

from typing_extensions import override

from app.commands.base import Answer, Command
from app.commands.terminal import table
from app.core.job import Job
from app.core.places import jobs_folder
from app.core.store import JobStore


class Jobs(Command):
    """Lists the jobs of the window and of the command line."""

    name: ClassVar[str] = "jobs"
    help: ClassVar[str] = "list the jobs and their results"

    @override
    def run(self, args: argparse.Namespace) -> Answer:
        jobs = JobStore(jobs_folder()).jobs()
        if not jobs:
            return Answer("No jobs yet. Make one with: nibble quantize sample --format Q4_K_M", [])
        rows = [
            (
                job.id[:15],
                job.state.value,
                Path(job.source).name,
                ", ".join(job.presets),
                _outcome(job),
            )
            for job in jobs
        ]
        head = ("started", "state", "model", "format", "result")
        return Answer(table(head, rows), [_plain(job) for job in jobs])


def _outcome(job: Job) -> str:
    if job.problem:
        return job.problem.title
    return job.target if len(job.outputs) == 1 else str(Path(job.target).parent)


def _plain(job: Job) -> dict[str, object]:
    reports = job.reports or [""] * len(job.outputs)
    return {
        "id": job.id,
        "state": job.state.value,
        "source": job.source,
        "results": [
            {"target": output.target, "recipe": output.recipe.to_json(), "report": report}
            for output, report in zip(job.outputs, reports, strict=True)
        ],
        "problem": job.problem.title if job.problem else "",
    }
