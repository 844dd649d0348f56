"""What a job is doing, in the window's words."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QCoreApplication

from app.core import words
from app.core.events import Progress
from app.core.job import Job, State
from app.core.report import Report
from app.evaluation.verdict import verdict


def _tr(text: str) -> str:
    return QCoreApplication.translate("Phrases", text)


def phase(name: str) -> str:
    """A step of the work as something that is being done."""
    return {
        "prepare": _tr("Preparing"),
        "quantize": _tr("Quantizing"),
        "verify": _tr("Checking the file"),
        "evaluate": _tr("Measuring what is lost"),
    }.get(name, name.capitalize())


def job_title(job: Job) -> str:
    """Model and format of a job."""
    source = Path(job.source)
    name = source.stem if source.suffix == ".gguf" else source.name  # "Llama-3.2-1B" has no suffix
    return _tr("{} to {}").format(name, job.recipe.preset)


def running(progress: Progress | None, remaining: float | None) -> str:
    """What a running job does now, how fast, and for how long still."""
    if progress is None:
        return _tr("Starting")
    parts = [phase(progress.phase)]
    if progress.phase in {"prepare", "evaluate"} and progress.item:
        parts.append(progress.item)  # a step in words; elsewhere it names a tensor
    if progress.phase == "quantize" and progress.total:
        done, total = words.size(progress.done), words.size(progress.total)
        parts.append(_tr("{} of {}").format(done, total))
        if progress.speed > 0:
            parts.append(_tr("{}/s").format(words.size(progress.speed)))
    if remaining is not None:
        parts.append(_tr("{} left").format(words.duration(remaining)))
    return "  ·  ".join(parts)


def outcome(report: Report) -> str:
    """A result in a few words: "5.0 GB, small loss"."""
    parts = [words.size(report.bytes_after)]
    if report.quality:
        parts.append(verdict(report.quality).word)
    return "  ·  ".join(parts)


def state(job: Job) -> str:
    """One word, for lists and screen readers."""
    return {
        State.QUEUED: _tr("Waiting"),
        State.RUNNING: _tr("Running"),
        State.FINISHED: _tr("Finished"),
        State.FAILED: _tr("Failed"),
        State.CANCELLED: _tr("Cancelled"),
    }[job.state]
