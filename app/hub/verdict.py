"""Can Nibble convert this model? Answered by planning the conversion, without its weights."""

from __future__ import annotations

from app.core.errors import AppError
from app.core.hub import Convertibility, Convertible, HubModelDetails
from app.formats import FORMATS
from app.hub import errors
from app.hub.client import Client
from app.hub.remote import StillOnTheHub, open_remote
from app.models.base import Checkpoint
from app.models.gguf_file import GgufFile
from app.models.quantized import Dequantized

_OWN_CODE = (
    "The model comes with code of its own, which Nibble does not run; if that code computes "
    "differently, the result may not work."
)
_FROM_GGUF = "It is made from a GGUF file: the original, if you can get it, is the better source."
_SHAPES_INSIDE = (
    "It is quantized already, and keeps the shapes of its weights among them: what it can become "
    "shows after the download."
)


def verdict(
    client: Client, details: HubModelDetails, file: str = ""
) -> tuple[Convertible, Checkpoint | None]:
    """Whether a model can be converted, and the model, opened, if it can be read at all.

    Args:
        client: The hub.
        details: The model's page.
        file: One of its GGUF files; see `open_remote`.

    Raises:
        Offline: The hub cannot be reached.
    """
    try:
        checkpoint = open_remote(client, details, file)
    except errors.Offline:
        raise
    except AppError as error:
        return _no(error), None
    limits: list[str] = []
    possible: list[str] = []
    problem: AppError | None = None
    for name, form in FORMATS.items():
        preset = next((one for one in form.presets if one.recommended), form.presets[0])
        try:
            plan = form.prepare(checkpoint).plan(preset.recipe())
        except AppError as error:
            problem = problem or error
            continue
        possible.append(name)
        limits += plan.notes
    if not possible:
        assert problem is not None
        if isinstance(problem, StillOnTheHub):
            return Convertible(Convertibility.LIMITS, (_SHAPES_INSIDE,)), checkpoint
        return _no(problem), checkpoint
    if isinstance(checkpoint, GgufFile):
        limits.append(_FROM_GGUF)
    if "auto_map" in checkpoint.config:
        limits.append(_OWN_CODE)
    harmless = set(checkpoint.notes) if _is_native(checkpoint) else set()
    word = Convertibility.LIMITS if set(limits) - harmless else Convertibility.YES
    return Convertible(word, tuple(dict.fromkeys(limits))), checkpoint


def _is_native(checkpoint: Checkpoint) -> bool:
    """Whether no original is more exact than a quantized model."""
    return isinstance(checkpoint, Dequantized) and checkpoint.native


def _no(error: AppError) -> Convertible:
    sentences = tuple(text for text in (error.title, error.hint) if text)
    return Convertible(Convertibility.NO, sentences)
