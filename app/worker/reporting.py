"""Puts a finished job into its report."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version

from app import __version__
from app.core.report import Report, TensorResult
from app.models.facts import model_facts
from app.worker.measure import Measured
from app.worker.work import Work

_LIBRARIES = ("torch", "numba", "numpy", "transformers", "tokenizers")


def make_report(
    work: Work, tensors: Sequence[TensorResult], measured: Measured, seconds: float
) -> Report:
    """Everything there is to say about `work`, whose result is in place."""
    facts = model_facts(work.source)
    return Report(
        model=facts.name,
        architecture=facts.architecture,
        preset=work.plan.preset,
        source=work.job.source,
        target=str(work.target),
        bytes_before=work.source.nbytes,
        bytes_after=work.plan.total_bytes,
        weights=work.plan.weights,
        bits_per_weight=work.plan.bits_per_weight,
        seconds=seconds,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        tensors=tuple(tensors),
        quality=measured.quality,
        samples=measured.samples,
        notes=(*work.plan.notes, *measured.notes),
        recipe={**work.job.recipe.to_json(), "device": work.job.device, "threads": work.threads},
        versions={
            "nibble": __version__,
            "python": platform.python_version(),
            **{library: version(library) for library in _LIBRARIES},
        },
    )
