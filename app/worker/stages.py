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


@dataclass(frozen=True, slots=True)
class Stages:
    """The stages' shares of the whole."""

    quantize: float
    verify: float
    evaluate: float

    @classmethod
    def of(cls, work: Work) -> Stages:
        """Shares of a job, estimated from the size of its model."""
        weights, threads = work.plan.weights, work.threads
        tokens = DEFAULT_TOKENS if work.job.evaluate else 0
        quantize = weights / _QUANTIZED_A_SECOND / threads
        verify = weights / _VERIFIED_A_SECOND / threads
        # Two models, two operations a weight and token.
        evaluate = 4 * weights * tokens / _MULTIPLIED_A_SECOND / threads
        total = max(1e-9, quantize + verify + evaluate)
        return cls(quantize / total, verify / total, evaluate / total)

    def place(
        self, stage: str, events: Generator[Event, None, Result]
    ) -> Generator[Event, None, Result]:
        """Pass `events` on; a progress within the stage becomes one within the whole job."""
        before = {"quantize": 0.0, "verify": self.quantize, "evaluate": self.quantize + self.verify}
        share: float = getattr(self, stage)
        with closing(events):
            while True:
                try:
                    event = next(events)
                except StopIteration as end:
                    result: Result = end.value
                    return result
                if isinstance(event, Progress):
                    event = replace(event, overall=before[stage] + share * event.overall)
                yield event
