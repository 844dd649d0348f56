"""What a calibrated job shows to its model."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.calibration.chats import ChatTemplate
from app.calibration.text import (
    DEFAULT_SAMPLES,
    cut_calibration_windows,
    digest,
    text_at,
)
from app.calibration.treatment import CASTS
from app.core.errors import Unsupported
from app.core.events import Note
from app.core.job import Job
from app.core.plan import Plan
from app.evaluation.text import longest_context, window_length
from app.evaluation.tokenizer import open_tokenizer
from app.models.base import Checkpoint
from app.models.layerwise import Place
from app.models.named_weights import NamedWeights
from app.worker.device import place_on

if TYPE_CHECKING:
    from torch import Tensor

_TOKENS_A_COLUMN = 4
"""So many tokens for each column of the widest matrix make statistics that can be relied on: GPTQ
was measured to reach nine tenths of what twice as many gain."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A model, its text, and where it computes."""

    source: NamedWeights
    windows: Tensor
    """Token ids, (windows, length), int64, on the host."""
    place: Place


def show(job: Job, checkpoint: Checkpoint, plan: Plan) -> Generator[Note, None, Shown]:
    """Cut the text of a job for its model.

    Raises:
        Unsupported: There is no such text, it is too short, or the model cannot be run here.
        BadModelFile: The model or the chats are damaged.
    """
    source = NamedWeights(checkpoint)
    longest = longest_context(source.config)
    if longest and job.length > longest:
        raise Unsupported(
            f"Pieces of {job.length:,} tokens are too long: this model reads {longest:,} at most.",
            "Choose shorter pieces.",
        )
    windows = cut_calibration_windows(
        open_tokenizer(checkpoint),
        text_at(job.calibration),
        chunks=job.samples or DEFAULT_SAMPLES,
        length=job.length or window_length(source.config),
        template=ChatTemplate.of(checkpoint),
        seed=job.seed,
    )
    tokens = windows.tokens.numel()
    widest = max(
        (tensor.shape[-1] for tensor in plan.tensors if tensor.encoding not in CASTS), default=0
    )
    if tokens < _TOKENS_A_COLUMN * widest:
        yield Note(
            f"The text {windows.text} gives {tokens:,} tokens, and the widest layer has "
            f"{widest:,} columns: with fewer than {_TOKENS_A_COLUMN * widest:,} tokens, weights "
            "are fitted to this text more than to others."
        )
    return Shown(source, windows.tokens, place_on(job.device))


def shown_facts(job: Job) -> tuple[object, ...]:
    """Differs where a job shows something else to its model."""
    text = text_at(job.calibration)
    return digest(text), text.suffix.lower(), job.samples, job.length, job.seed
