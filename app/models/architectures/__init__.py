"""Architectures: the families of models that can be stored in another convention.

A new family is a new file in `families`, found by being there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.core.discover import discover
from app.core.errors import BadModelFile, Unsupported
from app.models.architectures.base import Architecture, Config, text_part
from app.models.source_file import shown

ARCHITECTURES = tuple(found() for found in discover(f"{__name__}.families", Architecture).values())
"""Of several with the same GGUF name, the first one is taken for a GGUF file."""

_SUPPORTED = ", ".join(architecture.title for architecture in ARCHITECTURES)


def find_architecture(config: Config) -> Architecture:
    """The family that a config.json describes.

    Raises:
        BadModelFile: The config does not say.
        Unsupported: None of ours.
    """
    inner = text_part(config)
    if inner is not config and isinstance(inner.get("model_type"), str):
        for architecture in ARCHITECTURES:  # of a model that sees, the part that writes
            if inner["model_type"] in architecture.model_types:
                return architecture
    classes = config.get("architectures")
    named = [name for name in classes if isinstance(name, str)] if isinstance(classes, list) else []
    model_type = config.get("model_type")
    for architecture in ARCHITECTURES:
        if any(name in architecture.classes for name in named):
            return architecture
        if not named and model_type in architecture.model_types:
            return architecture
    if not named and not isinstance(model_type, str):
        raise BadModelFile(
            "config.json does not say what kind of model this is.",
            "It has neither 'architectures' nor 'model_type'. Download the model again.",
        )
    kind = named[0] if named else model_type
    raise Unsupported(
        f"Models of the kind {shown(str(kind))} are not supported yet.",
        f"Choose a model of one of these families: {_SUPPORTED}.",
    )


def language_model(config: Config) -> tuple[Architecture, Config]:
    """The family that a config.json describes, and what it says about the language model.

    Raises:
        BadModelFile: The config does not say.
        Unsupported: None of ours.
    """
    architecture, inner = find_architecture(config), text_part(config)
    if inner is config:
        return architecture, config
    said = {key: value for key, value in inner.items() if value is not None}
    return architecture, {**architecture.unsaid, **said}


def architecture_of_gguf(metadata: Mapping[str, Any]) -> Architecture:
    """The family of a GGUF file, by its metadata as plain values.

    Raises:
        BadModelFile: The file does not say.
        Unsupported: None of ours.
    """
    name = metadata.get("general.architecture")
    for architecture in ARCHITECTURES:
        if architecture.gguf == name:
            return architecture
    if not isinstance(name, str):
        raise BadModelFile(
            "The file does not say what kind of model it holds.",
            "It is damaged or not a language model. Download it again.",
        )
    raise Unsupported(
        f"Models of the kind {shown(name)} are not supported yet.",
        f"Choose a model of one of these families: {_SUPPORTED}.",
    )
