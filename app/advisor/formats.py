"""The fit of everything that a model can become."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from app.advisor.assess import assess
from app.advisor.calibration import calibration_seconds
from app.advisor.conversion import conversion_needs
from app.advisor.demand import demand_of_checkpoint, demand_of_plan
from app.advisor.measured import MeasuredFits
from app.advisor.speeds import MeasuredSpeeds
from app.core.errors import AppError
from app.core.fit import ConversionCost, Fit, FitOptions, FitWord
from app.core.machine import Machine
from app.core.plan import Plan
from app.formats import FORMATS
from app.formats.base import plan_preset
from app.models.base import Checkpoint
from app.models.gguf_file import GgufFile

AS_IT_IS = "as it is"
"""Stands for the model as it is stored, among the names of presets."""


Plans = Mapping[str, Plan | AppError]
"""What each preset would be made of, or why it cannot be."""


def plans_of(checkpoint: Checkpoint) -> Plans:
    """A plan for each preset, by its name; reads config and tokenizer once a format."""
    plans: dict[str, Plan | AppError] = {}
    for form in FORMATS.values():
        try:
            conversion = form.prepare(checkpoint)
            plans |= {preset.name: plan_preset(conversion, preset)[1] for preset in form.presets}
        except AppError as error:
            plans |= {preset.name: error for preset in form.presets}
    return plans


def fits_of(
    checkpoint: Checkpoint,
    machine: Machine,
    options: FitOptions,
    measured: MeasuredFits | None = None,
    plans: Plans | None = None,
) -> dict[str, Fit]:
    """A fit for each preset, by its name.

    A GGUF file comes first as it is, and so does a model that nothing can be made of.
    """
    fits: dict[str, Fit] = {}
    for name, plan in (plans or plans_of(checkpoint)).items():
        if isinstance(plan, AppError):
            fits[name] = Fit(FitWord.UNKNOWN, options, reason=plan.title)
        else:
            fits[name] = assess(demand_of_plan(plan, checkpoint), machine, options, measured)
    if isinstance(checkpoint, GgufFile) or all(
        fit.word is FitWord.UNKNOWN for fit in fits.values()
    ):
        stored = assess(demand_of_checkpoint(checkpoint), machine, options, measured)
        fits = {AS_IT_IS: stored, **fits}
    return fits


def costs_of(plans: Plans, checkpoint: Checkpoint, machine: Machine) -> dict[str, ConversionCost]:
    """What each preset takes to be made on this computer's processor, by its name."""
    speeds = MeasuredSpeeds()
    costs: dict[str, ConversionCost] = {}
    calibration: tuple[float, float] | None = None
    for name, plan in plans.items():
        if not isinstance(plan, AppError):
            if calibration is None:  # it is the same for all of them
                demand = demand_of_plan(plan, checkpoint)
                calibration = calibration_seconds(demand, plan.weights, checkpoint.nbytes, machine)
            needs = conversion_needs(plan, checkpoint.nbytes, Path.cwd(), machine, speeds)
            costs[name] = ConversionCost(needs.memory, needs.seconds, calibration)
    return costs
