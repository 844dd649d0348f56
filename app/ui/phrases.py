"""What a job is doing, in the window's words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from PySide6.QtCore import QCoreApplication

from app.core import words
from app.core.events import Progress
from app.core.hub import is_hub_id
from app.core.job import Job, State
from app.core.model import FormatChoice
from app.core.places import sample_model
from app.core.report import Report
from app.evaluation.verdict import verdict


def _tr(text: str) -> str:
    return QCoreApplication.translate("Phrases", text)


def phase(name: str) -> str:
    """A step of the work as something that is being done."""
    return {
        "download": _tr("Downloading"),
        "prepare": _tr("Preparing"),
        "calibrate": _tr("Finding out what matters most"),
        "quantize": _tr("Quantizing"),
        "verify": _tr("Checking the result"),
        "evaluate": _tr("Measuring what is lost"),
    }.get(name, name.capitalize())


def job_title(job: Job) -> str:
    """Model and formats of a job."""
    return result_title(job, *job.presets)


def result_title(job: Job, *presets: str) -> str:
    """Model and format of some of a job's results."""
    return _tr("{} to {}").format(model_title(job.source), ", ".join(presets))


def model_title(source: str) -> str:
    """What to call a model before it has been looked at: a path, or a name on the hub."""
    place = Path(source.partition("@")[0] if is_hub_id(source) else source)
    if place == sample_model():
        return _tr("Nibble-sample")
    return place.stem if place.suffix == ".gguf" else place.name  # "Llama-3.2-1B" has no suffix


def running(progress: Progress | None, remaining: float | None) -> str:
    """What a running job does now, how fast, and for how long still."""
    if progress is None:
        return _tr("Starting")
    parts = [phase(progress.phase), *_amounts(progress)]
    if remaining is not None:
        parts.append(_tr("{} left").format(words.duration(remaining)))
    return "  ·  ".join(parts)


def _amounts(progress: Progress) -> list[str]:
    if progress.phase in {"prepare", "calibrate", "evaluate"}:
        return [progress.item] if progress.item else []  # a step in words, no tensor
    if progress.phase not in {"download", "quantize"} or not progress.total:
        return []
    if progress.phase == "download":
        text = _tr("{} left").format(words.size(max(0, progress.total - progress.done)))
    else:
        text = _tr("{} of {}").format(words.size(progress.done), words.size(progress.total))
    speed = [_tr("{}/s").format(words.size(progress.speed))] if progress.speed > 0 else []
    return [text, *speed]


def promise(before: int, after: int, formats: int, *, download: bool) -> str:
    """What a conversion would do, in bytes of the original and of all results."""
    if formats == 1:
        text = _tr("{} to {}, {:.0f} % of the original").format(
            words.size(before), words.size(after), 100 * after / max(1, before)
        )
    else:
        text = _tr("{} to {} formats, {} together").format(
            words.size(before), formats, words.size(after)
        )
    if download:
        return _tr("Downloads {}, then {}").format(words.size(before), text)
    return text


def formats(choices: Iterable[FormatChoice]) -> str:
    """Their names, in a sentence."""
    return ", ".join(choice.preset for choice in choices)


def outcome(report: Report) -> str:
    """A result in a few words: "5.0 GB, small loss"."""
    parts = [words.size(report.bytes_after)]
    if report.quality:
        parts.append(verdict(report.quality).word)
    return "  ·  ".join(parts)


def outcomes(reports: Sequence[Report]) -> str:
    """All results of a job in a few words."""
    if len(reports) == 1:
        return outcome(reports[0])
    sizes = (f"{report.preset} {words.size(report.bytes_after)}" for report in reports)
    return "  ·  ".join(sizes)


def state(job: Job) -> str:
    """One word, for lists and screen readers."""
    return {
        State.QUEUED: _tr("Waiting"),
        State.RUNNING: _tr("Running"),
        State.FINISHED: _tr("Finished"),
        State.FAILED: _tr("Failed"),
        State.CANCELLED: _tr("Cancelled"),
    }[job.state]
