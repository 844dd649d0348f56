"""The fit of everything that a model can become."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from app.advisor.assess import assess
from app.advisor.demand import demand_of_checkpoint, demand_of_plan
from app.advisor.hardware import requirement
from app.advisor.measured import MeasuredFits
from app.advisor.serving import PROGRAMS, Serving
from app.core.errors import AppError
from app.core.fit import Fit, FitOptions, FitWord
from app.core.machine import Machine
from app.core.plan import Plan
from app.core.runtime import Runtime
from app.formats import FORMATS, find_preset
from app.formats.base import Conversion, Preset, plan_preset
from app.models.base import Checkpoint
from app.models.gguf_file import GgufFile

AS_IT_IS = "as it is"
"""Stands for the model as it is stored, among the names of presets."""


Plans = Mapping[str, Plan | AppError]
"""What each preset would be made of, or why it cannot be."""


def plans_of(checkpoint: Checkpoint, runtime: Runtime | None = None) -> Plans:
    """A plan for each preset that runs in `runtime`, or for all, by its name.

    Reads config and tokenizer once a format.
    """
    plans: dict[str, Plan | AppError] = {}
    for form in FORMATS.values():
        wanted = [one for one in form.presets if runtime in {None, *form.runtimes(one)}]
        try:
            conversion = form.prepare(checkpoint) if wanted else None
        except AppError as error:
            plans |= {preset.name: error for preset in wanted}
        else:
            plans |= {preset.name: _plan(conversion, preset) for preset in wanted if conversion}
    return plans


def _plan(conversion: Conversion, preset: Preset) -> Plan | AppError:
    try:
        return plan_preset(conversion, preset)[1]
    except AppError as error:
        return error


def fits_of(
    checkpoint: Checkpoint,
    machine: Machine,
    options: FitOptions,
    measured: MeasuredFits | None = None,
    plans: Plans | None = None,
    runtime: Runtime | None = None,
) -> dict[str, Fit]:
    """A fit for each preset, by its name.

    A GGUF file comes first as it is, and so does a model that nothing can be made of.

    Args:
        checkpoint: The model.
        machine: The computer.
        options: How the model is to be run.
        measured: Earlier loads in llama.cpp.
        plans: What is known of the presets already.
        runtime: Where results are to run, with only the presets that do; None: all presets, each
            in the first of its programs.
    """
    here = _Circumstances(machine, options, measured)
    fits: dict[str, Fit] = {}
    for name, plan in (plans or plans_of(checkpoint, runtime)).items():
        form, preset = find_preset(name)
        known = form.runtimes(preset)
        if runtime in {None, *known}:
            fits[name] = _fit(plan, checkpoint, runtime or known[0], here)
    if runtime in {None, Runtime.LLAMA_CPP} and (
        isinstance(checkpoint, GgufFile)
        or all(fit.word is FitWord.UNKNOWN for fit in fits.values())
    ):
        stored = assess(demand_of_checkpoint(checkpoint), machine, options, measured)
        fits = {AS_IT_IS: stored, **fits}
    return fits


@dataclass(frozen=True, slots=True)
class _Circumstances:
    """What does not depend on the format."""

    machine: Machine
    options: FitOptions
    measured: MeasuredFits | None


def _fit(
    plan: Plan | AppError, checkpoint: Checkpoint, runtime: Runtime, here: _Circumstances
) -> Fit:
    """The fit of one result in one kind of program."""
    if isinstance(plan, AppError):
        return Fit(FitWord.UNKNOWN, here.options, reason=plan.title)
    if runtime is Runtime.LLAMA_CPP:
        demand = demand_of_plan(plan, checkpoint)
        return assess(demand, here.machine, here.options, here.measured)
    needed = requirement(runtime, plan.preset)
    options = replace(here.options, cache_type="f16")
    missing = needed.missing(here.machine) if needed else ""
    if needed is None or missing:
        return Fit(FitWord.ELSEWHERE, options, reason=missing)
    demand = demand_of_plan(plan, checkpoint, unpacked=needed.unpacks(here.machine))
    machine = replace(
        here.machine, gpus=tuple(gpu for gpu in here.machine.gpus if needed.runs_on(gpu))
    )
    question = None
    if demand.geometry is not None:
        question = Serving(PROGRAMS[runtime], demand, demand.geometry, machine)
    fit = assess(demand, machine, options, question=question)
    return replace(fit, reason=f"{fit.reason} {needed.slow(here.machine)}".strip())
