"""What a model keeps of a text while it runs: facts by family, read from its description.

A config.json is put in the words of a GGUF file first, so that there is one set of rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.core.errors import AppError
from app.models.architectures import language_model
from app.models.cache.families import FAMILIES, Family
from app.models.cache.geometry import CannotSize, Geometry, LayerCache, geometry_of_notes

__all__ = [
    "FAMILIES",
    "CannotSize",
    "Family",
    "Geometry",
    "LayerCache",
    "geometry_of_config",
    "geometry_of_notes",
    "notes_of_config",
]


def geometry_of_config(config: Mapping[str, Any]) -> Geometry:
    """The geometry that a config.json describes.

    Raises:
        CannotSize: The family is not known, or the config lacks a number.
    """
    return geometry_of_notes(notes_of_config(config))


def notes_of_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a GGUF file of the model would say about it, by full keys.

    Raises:
        CannotSize: The family is not known, or the config lacks a number.
    """
    try:
        architecture, inner = language_model(config)
        entries = architecture.metadata(inner)
        vocabulary = architecture.dimensions(inner).vocabulary
    except AppError as error:
        raise CannotSize(error.title, error.hint) from error
    name = architecture.gguf
    notes = {f"{name}.{key}": value for key, value in entries.items()}
    return {"general.architecture": name, f"{name}.vocab_size": vocabulary, **notes}
