"""What finished files have lost: the models on the same text."""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

from app.core.errors import AppError
from app.core.events import Event, Note
from app.core.report import Quality, Sample
from app.evaluation.comparison import DEFAULT_TOKENS, compare_all
from app.evaluation.samples import continue_all
from app.evaluation.text import cut_windows, window_length
from app.evaluation.tokenizer import open_tokenizer
from app.models.named_weights import NamedWeights
from app.worker.device import place_on
from app.worker.work import Result, Work

log = logging.getLogger(__name__)

_FAILURES = (AppError, RuntimeError, MemoryError)
"""The last two are torch's."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What could be measured; `notes` say why something could not."""

    quality: Quality | None = None
    samples: tuple[Sample, ...] = ()
    notes: tuple[str, ...] = ()


def measure(work: Work, results: Sequence[Result]) -> Generator[Event, None, list[Measured]]:
    """Measure results that are in place. A model that cannot be run here is no failure."""
    try:
        source = NamedWeights(work.source)
        written = [
            NamedWeights(result.form.open(result.opened), source.description) for result in results
        ]
        tokenizer = open_tokenizer(work.source)
        context = window_length(source.config)
        windows = cut_windows(tokenizer, tokens=DEFAULT_TOKENS, context=context)
        qualities = yield from compare_all(source, written, windows, place_on(work.job.device))
    except _FAILURES as error:
        why = yield from _explain(work, error)
        return [Measured(notes=(why,))] * len(results)
    measured = [Measured(quality) for quality in qualities]
    try:
        samples, why = yield from continue_all(source, written, tokenizer)
    except _FAILURES as error:
        why = yield from _explain(work, error)
        return [replace(found, notes=(why,)) for found in measured]
    if why:
        yield Note(why)
    notes = (why,) if why else ()
    return [
        replace(found, samples=texts, notes=notes)
        for found, texts in zip(measured, samples, strict=True)
    ]


def _explain(work: Work, error: Exception) -> Generator[Event, None, str]:
    """Say what could not be measured; the files are complete all the same."""
    if isinstance(error, AppError):
        why = error.title
    else:
        log.error("the results could not be measured", exc_info=error)
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        why = f"The loss could not be measured on {work.job.device} ({what})."
    yield Note(why)
    return why
