"""The importance matrix of a model: computed from a text, or found where it was kept."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from pathlib import Path

from app.calibration.cache import ImportanceCache, cache_key
from app.calibration.chats import ChatTemplate
from app.calibration.checkpoint import LayerCheckpoint
from app.calibration.collectors import Collected, SumOfSquares
from app.calibration.engine import collect, in_words
from app.calibration.matching import by_matrix
from app.calibration.text import (
    DEFAULT_CHUNKS,
    CalibrationWindows,
    cut_calibration_windows,
    digest,
    text_at,
)
from app.core.errors import Unsupported
from app.core.events import Note, Progress
from app.core.retelling import retold
from app.evaluation.text import window_length
from app.evaluation.tokenizer import open_tokenizer
from app.formats.gguf.imatrix import ImportanceMatrix, Squares
from app.models.architectures.base import Weight
from app.models.base import Checkpoint
from app.models.layerwise import Place
from app.models.named_weights import NamedWeights

_INSTEAD = "Choose a result that needs no importance matrix, or one that was made elsewhere."


@dataclass(frozen=True, slots=True)
class ImportanceOptions:
    """What to compute a matrix from."""

    text: Path | None = None
    """A text, or chats (.jsonl); None: the text that is shipped."""
    chunks: int = DEFAULT_CHUNKS
    """Windows of it, at most."""
    fresh: bool = False
    """Whether to compute it even if it was kept from another time."""
    merged: tuple[tuple[str, float], ...] = ()
    """Adapters that are merged into the model, and how much of each: another model in the same
    files."""


def importance_of(
    checkpoint: Checkpoint, options: ImportanceOptions, place: Place
) -> Generator[Progress | Note, None, ImportanceMatrix]:
    """The importance of the columns of a model's weights.

    Memory: one decoder layer in float32, and the hidden states of all windows on the host.

    Yields:
        How far it has come. What is cut off goes on, the next time, at the last layers kept.

    Raises:
        Unsupported: The model cannot be run here, or the text is too short.
        BadModelFile: The model or the chats are damaged.
    """
    text = text_at(options.text)
    source = NamedWeights(checkpoint)
    key = _key(checkpoint, options)
    cache = ImportanceCache()
    matrix = None if options.fresh else cache.find(key)
    if matrix is None:
        unfinished = cache.unfinished(key)
        if options.fresh:
            unfinished.forget()
        matrix = yield from _computed(source, checkpoint, text, options.chunks, place, unfinished)
        cache.keep(key, matrix)
        unfinished.forget()
    if matrix.gaps():
        yield Note(matrix.gaps())
    return matrix


def is_kept(checkpoint: Checkpoint, options: ImportanceOptions) -> bool:
    """Whether the matrix was computed at another time, so that there is nothing to wait for.

    Raises:
        Unsupported: There is no such text.
    """
    return not options.fresh and ImportanceCache().has(_key(checkpoint, options))


def _key(checkpoint: Checkpoint, options: ImportanceOptions) -> str:
    text = text_at(options.text)
    facts = (digest(text), text.suffix.lower(), options.chunks, *options.merged)
    return cache_key(checkpoint, *facts)


def _computed(
    source: NamedWeights,
    checkpoint: Checkpoint,
    text: Path,
    chunks: int,
    place: Place,
    unfinished: LayerCheckpoint,
) -> Generator[Progress | Note, None, ImportanceMatrix]:
    try:
        windows = cut_calibration_windows(
            open_tokenizer(checkpoint),
            text,
            chunks=chunks,
            length=window_length(source.config),
            template=ChatTemplate.of(checkpoint),
        )
        if windows.note:
            yield Note(windows.note)
        found = yield from _collected(source, windows, place, unfinished)
    except Unsupported as error:
        hint = _INSTEAD if "quality" in error.hint else error.hint
        raise Unsupported(error.title, hint, error.details) from error
    tensors = matrices_of(found, source.description.weights)
    return ImportanceMatrix(tensors, (windows.text,), *windows.tokens.shape)


def _collected(
    source: NamedWeights, windows: CalibrationWindows, place: Place, unfinished: LayerCheckpoint
) -> Generator[Progress | Note, None, Collected]:
    passing = collect(source, windows.tokens, SumOfSquares(), place, unfinished)
    found = yield from retold(passing, in_words)
    if place.full:
        yield Note(
            f"The memory of {place.full} was too small to calibrate there; the processor went on."
        )
    return found


def matrices_of(found: Collected, weights: Iterable[Weight]) -> dict[str, Squares]:
    """The sums of squares by the names of a GGUF file's tensors; of those that were multiplied."""
    squares = ((weight.gguf, _squares(found, weight)) for weight in weights)
    return {name: known for name, known in squares if known is not None}


def _squares(found: Collected, weight: Weight) -> Squares | None:
    import torch

    if len(weight.shape) < 2:
        return None
    rows = by_matrix(found, weight)
    sums = torch.zeros(len(rows), weight.shape[-1])
    counts = torch.zeros(len(rows))
    for matrix, row in enumerate(rows):
        columns = None if row is None else weight.change.columns(row.value)
        if row is not None and columns is not None and len(columns) == sums.shape[1]:
            sums[matrix] = columns
            counts[matrix] = row.tokens
    return Squares(sums, counts) if counts.any() else None
