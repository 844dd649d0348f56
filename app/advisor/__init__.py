"""Whether a model runs on a computer, and how: arithmetic over shapes, no tensor and no window."""

from __future__ import annotations

from app.advisor.assess import assess
from app.advisor.demand import Demand, Layer, demand_of_checkpoint, demand_of_plan, make_demand
from app.advisor.formats import AS_IT_IS, fits_of, plans_of
from app.advisor.measured import Kind, Load, MeasuredFits
from app.advisor.memory import CACHE_TYPES
from app.advisor.needs import check_memory, job_needs

__all__ = [
    "AS_IT_IS",
    "CACHE_TYPES",
    "Demand",
    "Kind",
    "Layer",
    "Load",
    "MeasuredFits",
    "assess",
    "check_memory",
    "demand_of_checkpoint",
    "demand_of_plan",
    "fits_of",
    "job_needs",
    "make_demand",
    "plans_of",
]
