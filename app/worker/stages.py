"""How much of a job each of its stages is, so that progress and time left mean something."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from app.calibration.text import DEFAULT_CHUNKS, most_tokens
from app.calibration.treatment import Treatment
from app.core.events import Event, Progress
from app.core.job import Job
from app.core.plan import Plan
from app.core.recipe import AUTOMATIC
from app.core.retelling import retold
from app.evaluation.comparison import DEFAULT_TOKENS
from app.evaluation.text import DEFAULT_CONTEXT
from app.worker.work import threads_of

Result = TypeVar("Result")

# Typical rates of one processor thread. Only their ratio matters.
_QUANTIZED_A_SECOND = 40e6
_FITTED_A_SECOND = 1e6
_VERIFIED_A_SECOND = 150e6
_MULTIPLIED_A_SECOND = 30e9
_DOWNLOADED_A_SECOND = 12e6  # bytes, by a common line
_CALIBRATED_TOKENS = DEFAULT_CHUNKS * 512
_ORDER = ("download", "calibrate", "quantize", "fit", "verify", "evaluate")


@dataclass(frozen=True, slots=True)
class Stages:
    """The stages' shares of the whole."""

    quantize: float
    verify: float
    evaluate: float
    download: float = 0.0
    calibrate: float = 0.0
    fit: float = 0.0
    """What is quantized layer by layer, while the model is seen at work."""

    @classmethod
    def of(
        cls, job: Job, plans: Sequence[Plan], *, to_fetch: int = 0, calibrate: bool = True
    ) -> Stages:
        """Shares of a job, estimated from the size of its model.

        Args:
            job: What is wanted.
            plans: Its results.
            to_fetch: Bytes of the source that are not here.
            calibrate: Whether an importance matrix that is wanted has to be computed.
        """
        threads, weights = threads_of(job), plans[0].weights
        wanted = any(output.recipe.importance == AUTOMATIC for output in job.outputs)
        read = _CALIBRATED_TOKENS if wanted and calibrate else 0
        scored = DEFAULT_TOKENS if job.evaluate else 0
        # Two operations a weight and token.
        each = 2 * weights / _MULTIPLIED_A_SECOND / threads
        recipes = [output.recipe for output in job.outputs]
        treatments = [Treatment.of(one.method, one.options) for one in recipes]
        fitted = sum(bool(one.needs) for one in treatments)
        asking = [one for one, plan in zip(treatments, plans, strict=True) if plan.ranges]
        shown = most_tokens(job, job.length or DEFAULT_CONTEXT) if fitted or asking else 0
        behind = sum(one.smoothing is not None for one in asking)
        read += shown if behind < len(asking) else 0
        seconds = {
            "download": to_fetch / _DOWNLOADED_A_SECOND,
            "calibrate": each * read,
            "quantize": (len(plans) - fitted) * weights / _QUANTIZED_A_SECOND / threads,
            "fit": (2 * fitted + behind) * each * shown
            + fitted * weights / _FITTED_A_SECOND / threads,
            "verify": len(plans) * weights / _VERIFIED_A_SECOND / threads,
            "evaluate": each * scored * (1 + len(plans)),
        }
        total = max(1e-9, sum(seconds.values()))
        return cls(**{stage: took / total for stage, took in seconds.items()})

    def place(
        self,
        stage: str,
        events: Generator[Event, None, Result],
        part: int = 0,
        parts: int = 1,
    ) -> Generator[Event, None, Result]:
        """Pass `events` on; a progress within the stage becomes one within the whole job.

        Args:
            stage: Name of the stage.
            events: What happens in it.
            part: Which of its equal parts they are.
            parts: How many parts it has.
        """
        share: float = getattr(self, stage) / parts
        before = sum(getattr(self, earlier) for earlier in _ORDER[: _ORDER.index(stage)])
        before += share * part

        def placed(event: Event) -> Event:
            if isinstance(event, Progress):
                return replace(event, overall=before + share * event.overall)
            return event

        return retold(events, placed)
