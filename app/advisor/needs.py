"""What a job takes, calibrated or not: disk, memory, and time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.advisor.calibration import Reading
from app.advisor.conversion import card_memory, quantizing_memory
from app.advisor.memory import MIB, Span
from app.advisor.speeds import (
    MeasuredSpeeds,
    calibration_speeds,
    conversion_kind,
    conversion_speeds,
)
from app.calibration.treatment import Treatment
from app.core.errors import NotEnoughSpace
from app.core.files import free_bytes
from app.core.job import Job
from app.core.machine import Machine
from app.core.needs import JobNeeds, TimeSpan, in_turn
from app.core.plan import Plan
from app.core.recipe import Recipe
from app.core.words import size
from app.formats.slices import SLICE_WEIGHTS
from app.models.base import Checkpoint

_PROGRAM = Span(300 * MIB, 450 * MIB)  # the worker with PyTorch, before it does anything
_WITH_MODELS = Span(500 * MIB, 820 * MIB)  # and with transformers, to run a model
_CARD = 700 * MIB  # a graphics card's driver, and a few slices
_JOURNAL_BYTES = 64  # a line for each slice


@dataclass(frozen=True, slots=True)
class Speeds:
    """What was timed on this computer."""

    conversions: MeasuredSpeeds
    calibrations: MeasuredSpeeds

    @classmethod
    def kept(cls) -> Speeds:
        """What earlier jobs have left."""
        return cls(conversion_speeds(), calibration_speeds())


def job_needs(
    job: Job,
    plans: Sequence[Plan],
    source: Checkpoint,
    machine: Machine,
    *,
    computes_importance: bool = False,
    speeds: Speeds | None = None,
) -> JobNeeds:
    """What a job takes at its peak, and how long.

    Results do not add up in memory: what is read is encoded for one after the other.

    Args:
        job: What is wanted.
        plans: Its results.
        source: What they are made of.
        machine: The computer, with as many threads as the job may use.
        computes_importance: Whether an importance matrix has to be computed.
        speeds: Earlier jobs, for the time; None: those of this computer.
    """
    speeds = speeds or Speeds.kept()
    before = list(_before(job, plans, source, computes_importance=computes_importance))
    results = [
        _Result(output.recipe, plan, _reading(job, output.recipe, plan, source))
        for output, plan in zip(job.outputs, plans, strict=True)
    ]
    readings = before + [result.reading for result in results if result.reading]
    memory = _PROGRAM
    for result in results:
        if result.reading is None:
            memory |= _PROGRAM + quantizing_memory(result.plan, machine.cpu.threads)
    for reading in readings:
        memory |= _WITH_MODELS + reading.memory(machine)
    times = [one.time(machine, job.device, speeds.calibrations) for one in before]
    return JobNeeds(
        disk=sum(map(_on_disk, plans)) + max((one.on_disk(machine) for one in readings), default=0),
        disk_free=min(free_bytes(Path(output.target)) for output in job.outputs),
        memory=memory.high,
        memory_least=memory.low,
        memory_free=machine.memory.free,
        card=0 if job.device == "cpu" else _on_card(plans, readings),
        seconds=in_turn(times + [one.time(job, source, machine, speeds) for one in results]),
        importance=times[0] if computes_importance else None,
    )


def check_memory(needs: JobNeeds) -> None:
    """Refuse a job that cannot work; the disk is checked by `PartialFile`.

    Raises:
        NotEnoughSpace: There is less free memory than it takes at the least.
    """
    if needs.memory_least > needs.memory_free:
        raise NotEnoughSpace(
            f"Converting takes at least {size(needs.memory_least)} of memory, and "
            f"{size(needs.memory_free)} are free.",
            "Close other programs or use fewer threads, and try again.",
        )


@dataclass(frozen=True, slots=True)
class _Result:
    """One of a job's."""

    recipe: Recipe
    plan: Plan
    reading: Reading | None
    """What its method is shown."""

    def time(
        self, job: Job, source: Checkpoint, machine: Machine, speeds: Speeds
    ) -> TimeSpan | None:
        """How long making it takes."""
        if self.reading:
            return self.reading.time(machine, job.device, speeds.calibrations)
        kind = conversion_kind(self.recipe)
        return speeds.conversions.seconds(job.device, kind, source.nbytes)


def _reading(job: Job, recipe: Recipe, plan: Plan, source: Checkpoint) -> Reading | None:
    treatment = Treatment.of(recipe.method, recipe.options)
    return Reading.for_method(job, treatment, plan, source) if treatment.needs else None


def _before(
    job: Job, plans: Sequence[Plan], source: Checkpoint, *, computes_importance: bool
) -> Iterator[Reading]:
    """What the model reads before anything is quantized, once for all results."""
    if computes_importance:
        yield Reading.for_importance(plans[0], source)
    asking = next((plan for plan in plans if plan.ranges), None)
    if asking is not None:
        yield Reading.for_ranges(job, asking, source)


def _on_card(plans: Sequence[Plan], readings: Sequence[Reading]) -> int:
    """What a graphics card takes that quantizes one matrix at a time, and runs layers."""
    working = [card_memory(plan) for plan in plans]
    return _CARD + max(working + [reading.working(threads=1).high for reading in readings])


def _on_disk(plan: Plan) -> int:
    """Bytes of a result, and of what is remembered while it is written."""
    lines = sum(tensor.weights // SLICE_WEIGHTS + 1 for tensor in plan.tensors)
    return plan.total_bytes + lines * _JOURNAL_BYTES
