"""The fit of everything that a model can become."""

from __future__ import annotations

from pathlib import Path

from app.advisor.assess import assess
from app.advisor.conversion import conversion_needs
from app.advisor.demand import demand_of_checkpoint, demand_of_plan
from app.advisor.measured import MeasuredFits
from app.advisor.speeds import MeasuredSpeeds
from app.core.errors import AppError
from app.core.fit import ConversionCost, Fit, FitOptions, FitWord
from app.core.machine import Machine
from app.core.recipe import Recipe
from app.formats import FORMATS
from app.models.base import Checkpoint
from app.models.gguf_file import GgufFile

AS_IT_IS = "as it is"
"""Stands for the model as it is stored, among the names of presets."""


def fits_of(
    checkpoint: Checkpoint,
    machine: Machine,
    options: FitOptions,
    measured: MeasuredFits | None = None,
) -> dict[str, Fit]:
    """A fit for each preset, by its name.

    A GGUF file comes first as it is, and so does a model that nothing can be made of.
    """
    fits: dict[str, Fit] = {}
    for form in FORMATS.values():
        try:
            conversion = form.prepare(checkpoint)
            plans = {preset.name: conversion.plan(Recipe(preset.name)) for preset in form.presets}
        except AppError as error:
            fits |= {
                preset.name: Fit(FitWord.UNKNOWN, options, reason=error.title)
                for preset in form.presets
            }
            continue
        for name, plan in plans.items():
            fits[name] = assess(demand_of_plan(plan, checkpoint), machine, options, measured)
    if isinstance(checkpoint, GgufFile) or all(
        fit.word is FitWord.UNKNOWN for fit in fits.values()
    ):
        stored = assess(demand_of_checkpoint(checkpoint), machine, options, measured)
        fits = {AS_IT_IS: stored, **fits}
    return fits


def costs_of(checkpoint: Checkpoint, machine: Machine) -> dict[str, ConversionCost]:
    """What each preset takes to be made on this computer's processor, by its name."""
    costs: dict[str, ConversionCost] = {}
    speeds = MeasuredSpeeds()
    for form in FORMATS.values():
        try:
            conversion = form.prepare(checkpoint)
            plans = [conversion.plan(Recipe(preset.name)) for preset in form.presets]
        except AppError:
            continue
        for plan in plans:
            needs = conversion_needs(plan, checkpoint.nbytes, Path.cwd(), machine, speeds)
            costs[plan.preset] = ConversionCost(needs.memory, needs.seconds)
    return costs
