"""How far a result's predictions are from its source's, on the same text.

Both models read windows of tokens in one pass over their layers. As in llama.cpp's perplexity
tool, only the second half of a window is scored, so that every scored token has at least half a
window of context; the figures are comparable with that tool's for the same text and window.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.core.errors import BadModelFile, Unsupported
from app.core.events import Note, Progress
from app.core.report import Quality
from app.core.retelling import retold
from app.evaluation.tally import Part, Tally
from app.evaluation.text import Windows
from app.models.layerwise import Lent, Place, Step, in_slices, moved, run_layers
from app.models.skeleton import Skeleton, Weights, WeightSource

if TYPE_CHECKING:
    from torch import Tensor

DEFAULT_TOKENS = 4096
"""Tokens read; half of them are scored."""

_MATRIX_BYTES = 256_000_000  # for parts of both output matrices
_LOGIT_BYTES = 256_000_000  # for the logits of both models and what is computed from them
_COPIES = 6  # arrays of the logits' size that `_score` holds at its peak
_HEAD_LAYERS = 1  # the output matrices of both models, in layers' worth of progress


def compare(
    source: WeightSource, result: WeightSource, windows: Windows, place: Place | None = None
) -> Generator[Progress | Note, None, Quality]:
    """Run both models on the same windows; see `compare_all`."""
    (quality,) = yield from compare_all(source, [result], windows, place)
    return quality


def compare_all(
    source: WeightSource,
    results: Sequence[WeightSource],
    windows: Windows,
    place: Place | None = None,
) -> Generator[Progress | Note, None, list[Quality]]:
    """Run a model and its results on the same windows, the model once.

    Memory: one decoder layer in float32; the hidden states of all tokens on the host, for each
    model; 256 MB each for parts of the output matrices and for slices of logits.

    Args:
        source: The model.
        results: What became of it.
        windows: The text.
        place: Where to compute; None: the processor.

    Returns:
        How far each result is from the source.

    Raises:
        Unsupported: The model cannot be run here, or the text does not fit its vocabulary.
        BadModelFile: Weights are missing or have other shapes than the config says.
        NotEnoughSpace: There is no room for the hidden states.
    """
    place = place or Place()
    skeleton = Skeleton(source.config, max_layers=len(source.names))
    if int(windows.tokens.max()) >= skeleton.vocabulary:
        raise Unsupported(
            "The model's tokenizer has more words than the model itself.",
            "The result can be used, but its quality is not measured.",
        )
    states = yield from _last_states(skeleton, (source, *results), windows.tokens, place)
    found = []
    for number, result in enumerate(results):
        pair = _Pair((source, result), (states[0], states[1 + number]), number, len(results))
        tally = yield from _scored(skeleton, pair, windows.tokens, place)
        found.append(_quality(tally, windows))
    if place.full:
        yield Note(
            f"The memory of {place.full} was too small to measure the quality there; "
            "the processor went on."
        )
    return found


@dataclass(frozen=True, slots=True)
class _Pair:
    """The source and one of its results, behind the last layer."""

    weights: tuple[WeightSource, WeightSource]
    states: tuple[Tensor, Tensor]
    number: int
    """Which of the results."""
    count: int
    """How many there are."""


def _last_states(
    skeleton: Skeleton, sources: Sequence[WeightSource], tokens: Tensor, place: Place
) -> Generator[Progress, None, list[Tensor]]:
    """All models' hidden states behind the last layer."""

    def told(step: Step) -> Progress:
        whole = step.total * (1 + _HEAD_LAYERS / skeleton.layers)
        return Progress("evaluate", step.done, step.total, step.item, step.done / whole)

    return retold(run_layers(skeleton, sources, tokens, place), told)


def _scored(
    skeleton: Skeleton, pair: _Pair, tokens: Tensor, place: Place
) -> Generator[Progress, None, Tally]:
    """Compare the logits of the scored positions; none are kept.

    The output matrices are read a part of the vocabulary at a time, and each part meets the
    positions in slices.
    """
    scored = _scored_positions(tokens)
    following = tokens.flatten()[scored + 1]
    before, after = (states.flatten(0, 1) for states in pair.states)  # views: see `Scratch`
    tally = Tally(len(scored))
    width = max(1, _MATRIX_BYTES // (4 * 2 * before.shape[1]))
    for start in range(0, skeleton.vocabulary, width):
        stop = min(skeleton.vocabulary, start + width)
        heads = Lent([skeleton.head_part(one, start, stop) for one in pair.weights], place)

        def compute(begin: int, end: int, heads: Lent = heads, start: int = start) -> Part:
            head_before, head_after = heads.placed()
            positions = scored[begin:end]
            return Part.of(
                _logits(skeleton, head_before, before[positions], place),
                _logits(skeleton, head_after, after[positions], place),
                moved(following[begin:end], place.device),
                start,
            )

        rows = max(1, min(tokens.shape[1], _LOGIT_BYTES // (4 * _COPIES * (stop - start))))
        for begin, end, part in in_slices(len(scored), rows, place, compute):
            tally.add(begin, end, part)
            done = (start + (stop - start) * end / len(scored)) / skeleton.vocabulary
            yield _head_progress(skeleton, pair, done)
    return tally


def _scored_positions(tokens: Tensor) -> Tensor:
    """Where scored tokens are in all windows put together: the second halves, less the ends."""
    import torch

    count, length = tokens.shape
    starts = length * torch.arange(count)[:, None]
    return (starts + torch.arange(length // 2, length - 1)).flatten()


def _head_progress(skeleton: Skeleton, pair: _Pair, done: float) -> Progress:
    heads = _HEAD_LAYERS * (pair.number + done) / pair.count
    share = (skeleton.layers + heads) / (skeleton.layers + _HEAD_LAYERS)
    return Progress("evaluate", round(100 * done), 100, "next-token predictions", share)


def _logits(skeleton: Skeleton, head: Weights, hidden: Tensor, place: Place) -> Tensor:
    return skeleton.logits(head, moved(hidden, place.device)).float()


def _quality(tally: Tally, windows: Windows) -> Quality:
    kl = tally.kl
    perplexity_before = _perplexity(tally.loss_before)
    if not math.isfinite(perplexity_before):
        raise BadModelFile(
            "The original model's predictions are not numbers.",
            "Its files are probably damaged. Download the model again.",
        )
    return Quality(
        tokens=len(kl),
        context=windows.tokens.shape[1],
        text=windows.text,
        perplexity_before=perplexity_before,
        perplexity_after=_perplexity(tally.loss_after),
        kl_mean=float(kl.mean()),
        kl_p99=float(kl.quantile(0.99)),
        same_top=float(tally.same_top.mean()),
    )


def _perplexity(losses: Tensor) -> float:
    """Exponential of the mean; infinite where that is too large for a number."""
    mean = float(losses.mean())
    return math.exp(mean) if not mean > 700 else math.inf
