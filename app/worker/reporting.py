"""Puts a finished result into its report."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from app import __version__
from app.calibration.text import DEFAULT_SAMPLES, calibration_text
from app.core.report import Report, TensorResult
from app.evaluation.text import window_length
from app.formats import find_preset
from app.models.facts import model_facts
from app.worker.measure import Measured
from app.worker.work import Result, Work

_LIBRARIES = ("torch", "numba", "numpy", "transformers", "tokenizers")


def make_report(
    work: Work,
    result: Result,
    tensors: Sequence[TensorResult],
    seconds: float,
    notes: Sequence[str] = (),
) -> Report:
    """Everything there is to say about a result that is in place and not measured yet.

    Args:
        work: The job.
        result: Which of its results.
        tensors: What was measured of each of its tensors.
        seconds: How long it took.
        notes: What the user should know besides what was planned.
    """
    facts = model_facts(work.source)
    return Report(
        model=facts.name,
        architecture=facts.architecture,
        preset=result.plan.preset,
        source=work.job.source,
        target=str(result.opened),
        bytes_before=work.source.nbytes,
        bytes_after=result.plan.total_bytes,
        weights=result.plan.weights,
        bits_per_weight=result.plan.bits_per_weight,
        seconds=seconds,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        tensors=tuple(tensors),
        notes=(*result.plan.notes, *notes),
        runs_in=result.plan.runs_in or result.form.programs(find_preset(result.plan.preset)[1]),
        recipe=_recipe(work, result),
        versions={
            "nibble": __version__,
            "python": platform.python_version(),
            **{library: version(library) for library in _LIBRARIES},
        },
    )


def _recipe(work: Work, result: Result) -> dict[str, Any]:
    """All that decides about the result's bytes, and where it was computed."""
    job = work.job
    found = result.output.recipe.to_json()
    if job.adapters:
        found["adapters"] = [(Path(path).name, scale) for path, scale in job.adapters]
    if result.sees_text:
        found["text"] = (Path(job.calibration) if job.calibration else calibration_text()).name
    if result.sees_pieces:
        found["samples"] = job.samples or DEFAULT_SAMPLES
        found["length"] = job.length or window_length(work.source.config)
        found["seed"] = job.seed
    return {**found, "device": job.device, "threads": work.threads}


def with_measured(report: Report, measured: Measured) -> Report:
    """The same report with what was measured afterwards."""
    return replace(
        report,
        quality=measured.quality,
        samples=measured.samples,
        notes=tuple(dict.fromkeys((*report.notes, *measured.notes))),
    )
