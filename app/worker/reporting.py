"""Puts a finished result into its report."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version

from app import __version__
from app.core.report import Report, TensorResult
from app.formats import find_preset
from app.models.facts import model_facts
from app.worker.measure import Measured
from app.worker.work import Result, Work

_LIBRARIES = ("torch", "numba", "numpy", "transformers", "tokenizers")


def make_report(
    work: Work, result: Result, tensors: Sequence[TensorResult], seconds: float
) -> Report:
    """Everything there is to say about a result that is in place and not measured yet."""
    facts = model_facts(work.source)
    recipe = result.output.recipe.to_json()
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
        notes=result.plan.notes,
        runs_in=result.form.programs(find_preset(result.plan.preset)[1]),
        recipe={**recipe, "device": work.job.device, "threads": work.threads},
        versions={
            "nibble": __version__,
            "python": platform.python_version(),
            **{library: version(library) for library in _LIBRARIES},
        },
    )


def with_measured(report: Report, measured: Measured) -> Report:
    """The same report with what was measured afterwards."""
    return replace(
        report,
        quality=measured.quality,
        samples=measured.samples,
        notes=tuple(dict.fromkeys((*report.notes, *measured.notes))),
    )
