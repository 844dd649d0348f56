"""What each preset costs a small model, measured beforehand and shipped with the program."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from app.core.places import resources


@dataclass(frozen=True, slots=True)
class MeasuredLoss:
    """Mean KL divergence of a result from its source, in nats."""

    usual: float
    """As the preset is made when nothing else is chosen."""
    with_importance: float | None = None
    """With an importance matrix, where that is a choice."""


def measured_losses(path: Path | None = None) -> Mapping[str, MeasuredLoss]:
    """By preset; those that nobody has measured are left out.

    In the file each preset has an object whose "kl" is the figure, and in it one of the same kind,
    "with_importance". It is written by tests/benchmarks/recipes.py.
    """
    try:
        rows = json.loads((path or resources() / "quality.json").read_bytes())["presets"]
        losses = {preset: _loss(row) for preset, row in rows.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return {preset: loss for preset, loss in losses.items() if loss is not None}


def _loss(row: Mapping[str, object]) -> MeasuredLoss | None:
    usual, weighed = _kl(row), _kl(row.get("with_importance"))
    return None if usual is None else MeasuredLoss(usual, weighed)


def _kl(row: object) -> float | None:
    kl = row.get("kl") if isinstance(row, Mapping) else None
    return float(kl) if isinstance(kl, int | float) and kl >= 0 else None
