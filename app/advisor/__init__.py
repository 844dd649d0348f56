"""Whether a model runs on a computer, and how: arithmetic over shapes, no tensor and no window."""

from __future__ import annotations

from app.advisor.assess import assess
from app.advisor.conversion import ConversionNeeds, check_memory, conversion_needs
from app.advisor.demand import Demand, Layer, demand_of_checkpoint, demand_of_plan, make_demand
from app.advisor.formats import AS_IT_IS, costs_of, fits_of, plans_of
from app.advisor.measured import Kind, Load, MeasuredFits
from app.advisor.memory import CACHE_TYPES
from app.advisor.speeds import MeasuredSpeeds

__all__ = [
    "AS_IT_IS",
    "CACHE_TYPES",
    "ConversionNeeds",
    "Demand",
    "Kind",
    "Layer",
    "Load",
    "MeasuredFits",
    "MeasuredSpeeds",
    "assess",
    "check_memory",
    "conversion_needs",
    "costs_of",
    "demand_of_checkpoint",
    "demand_of_plan",
    "fits_of",
    "make_demand",
    "plans_of",
]
