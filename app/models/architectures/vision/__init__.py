"""The parts of models that see: an encoder of pictures and a projector into the language model."""

from __future__ import annotations

from app.core.discover import discover
from app.core.errors import Unsupported
from app.models.architectures.base import Config
from app.models.architectures.vision.base import Vision
from app.models.source_file import shown

VISIONS = tuple(found() for found in discover(f"{__name__}.families", Vision).values())


def find_vision(config: Config) -> Vision:
    """The family of the part that sees, by the model's config.json.

    Raises:
        Unsupported: There is no such part, or it is none of ours.
    """
    for vision in VISIONS:
        if vision.matches(config):
            return vision
    kind = shown(str(config.get("model_type", "")))
    known = ", ".join(vision.title for vision in VISIONS)
    if not isinstance(config.get("vision_config"), dict):
        raise Unsupported(
            "This model does not see: its config.json describes no part for pictures.",
            f"Choose a model that does, of one of these families: {known}.",
        )
    raise Unsupported(
        f"How models of the kind {kind} see is not supported yet.",
        f"Choose a model of one of these families: {known}.",
    )
