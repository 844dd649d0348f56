"""What a model keeps of a text while it runs: facts by family, read from either description."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.models.cache.families import FAMILIES, Family
from app.models.cache.from_config import hyperparameters
from app.models.cache.geometry import CannotSize, Geometry, LayerCache, geometry_of_notes

__all__ = [
    "FAMILIES",
    "CannotSize",
    "Family",
    "Geometry",
    "LayerCache",
    "geometry_of_config",
    "geometry_of_notes",
    "hyperparameters",
]


def geometry_of_config(config: Mapping[str, Any]) -> Geometry:
    """The geometry that a config.json describes.

    Raises:
        CannotSize: The family is not known, or the config lacks a number.
    """
    return geometry_of_notes(hyperparameters(config))
