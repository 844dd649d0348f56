"""What a finished file has lost: both models on the same text."""

from __future__ import annotations

import logging
from collections.abc import Generator
from dataclasses import dataclass

from app.core.errors import AppError
from app.core.events import Event, Note
from app.core.report import Quality, Sample
from app.evaluation.comparison import DEFAULT_TOKENS, compare
from app.evaluation.samples import continue_prompts
from app.evaluation.text import cut_windows, window_length
from app.evaluation.tokenizer import open_tokenizer
from app.models.named_weights import NamedWeights
from app.worker.work import Work

log = logging.getLogger(__name__)

_FAILURES = (AppError, RuntimeError, MemoryError)
"""The last two are torch's."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What could be measured; `notes` say why something could not."""

    quality: Quality | None = None
    samples: tuple[Sample, ...] = ()
    notes: tuple[str, ...] = ()


def measure(work: Work) -> Generator[Event, None, Measured]:
    """Measure the file that is in place. A model that cannot be run here is no failure."""
    try:
        source = NamedWeights(work.source)
        result = NamedWeights(work.form.open(work.target), source.description)
        tokenizer = open_tokenizer(work.source)
        context = window_length(source.config)
        windows = cut_windows(tokenizer, tokens=DEFAULT_TOKENS, context=context)
        quality = yield from compare(source, result, windows, work.job.device)
    except _FAILURES as error:
        return Measured(notes=(yield from _explain(work, error)))
    try:
        samples, why = yield from continue_prompts(source, result, tokenizer)
    except _FAILURES as error:
        return Measured(quality, notes=(yield from _explain(work, error)))
    if why:
        yield Note(why)
    return Measured(quality, samples, (why,) if why else ())


def _explain(work: Work, error: Exception) -> Generator[Event, None, tuple[str]]:
    """Say what could not be measured; the file is complete all the same."""
    if isinstance(error, AppError):
        why = error.title
    else:
        log.error("the result could not be measured", exc_info=error)
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        why = f"The loss could not be measured on {work.job.device} ({what})."
    yield Note(why)
    return (why,)
