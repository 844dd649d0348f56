"""How much of a job each of its stages is, so that progress and time left mean something."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TypeVar

from app.core.events import Event, Progress
from app.evaluation.comparison import DEFAULT_TOKENS
from app.worker.work import Work

Result = TypeVar("Result")

# Typical rates of one processor thread. Only their ratio matters.
_QUANTIZED_A_SECOND = 40e6
_VERIFIED_A_SECOND = 150e6
_MULTIPLIED_A_SECOND = 30e9
_DOWNLOADED_A_SECOND = 12e6  # bytes, by a common line


@dataclass(frozen=True, slots=True)
class Stages:
    """The stages' shares of the whole."""

    quantize: float
    verify: float
    evaluate: float
    download: float = 0.0

    @classmethod
    def of(cls, work: Work) -> Stages:
        """Shares of a job, estimated from the size of its model."""
        return cls.of_size(work.plan.weights, work.threads, evaluate=work.job.evaluate)

    @classmethod
    def of_size(cls, weights: int, threads: int, *, evaluate: bool, to_fetch: int = 0) -> Stages:
        """The same for a model that may not be here: `to_fetch` bytes of it are not."""
        tokens = DEFAULT_TOKENS if evaluate else 0
        download = to_fetch / _DOWNLOADED_A_SECOND
        quantize = weights / _QUANTIZED_A_SECOND / threads
        verify = weights / _VERIFIED_A_SECOND / threads
        # Two models, two operations a weight and token.
        measure = 4 * weights * tokens / _MULTIPLIED_A_SECOND / threads
        total = max(1e-9, download + quantize + verify + measure)
        return cls(quantize / total, verify / total, measure / total, download / total)

    def place(
        self, stage: str, events: Generator[Event, None, Result]
    ) -> Generator[Event, None, Result]:
        """Pass `events` on; a progress within the stage becomes one within the whole job."""
        order = ("download", "quantize", "verify", "evaluate")
        before = sum(getattr(self, earlier) for earlier in order[: order.index(stage)])
        share: float = getattr(self, stage)
        with closing(events):
            while True:
                try:
                    event = next(events)
                except StopIteration as end:
                    result: Result = end.value
                    return result
                if isinstance(event, Progress):
                    event = replace(event, overall=before + share * event.overall)
                yield event
