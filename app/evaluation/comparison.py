"""How far a result's predictions are from its source's, on the same text.

Both models read windows of tokens in one pass over their layers. As in llama.cpp's perplexity
tool, only the second half of a window is scored, so that every scored token has at least half a
window of context; the figures are comparable with that tool's for the same text and window.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.core.errors import BadModelFile, Unsupported
from app.core.events import Note, Progress
from app.core.report import Quality
from app.evaluation.text import Windows
from app.models.layerwise import Lent, Place, in_slices, moved, run_layers
from app.models.skeleton import Skeleton, Weights, WeightSource

if TYPE_CHECKING:
    from torch import Tensor

DEFAULT_TOKENS = 4096
"""Tokens read; half of them are scored."""

_LOGIT_BYTES = 256_000_000  # for the logits of both models and what is computed from them
_COPIES = 6  # arrays of the logits' size that `_score` holds at its peak
_HEAD_LAYERS = 1  # the output matrices of both models, in layers' worth of progress


@dataclass(frozen=True, slots=True)
class Scores:
    """What is kept of each scored position, (positions,), float32, on the host."""

    loss_before: Tensor
    """-log p(the next token) of the source, in nats."""
    loss_after: Tensor
    kl: Tensor
    """KL(source || result), in nats."""
    same_top: Tensor
    """1 where both models put the same token first."""


def compare(
    source: WeightSource, result: WeightSource, windows: Windows, device: str = "cpu"
) -> Generator[Progress | Note, None, Quality]:
    """Run both models on the same windows; see `compare_all`."""
    (quality,) = yield from compare_all(source, [result], windows, device)
    return quality


def compare_all(
    source: WeightSource, results: Sequence[WeightSource], windows: Windows, device: str = "cpu"
) -> Generator[Progress | Note, None, list[Quality]]:
    """Run a model and its results on the same windows, the model once.

    Memory: one decoder layer, or two models' output matrices, in float32; the hidden states
    of all tokens on the host, for each model; 256 MB for slices of logits.

    Returns:
        How far each result is from the source.

    Raises:
        Unsupported: The model cannot be run here, or the text does not fit its vocabulary.
        BadModelFile: Weights are missing or have other shapes than the config says.
    """
    skeleton = Skeleton(source.config, max_layers=len(source.names))
    if int(windows.tokens.max()) >= skeleton.vocabulary:
        raise Unsupported(
            "The model's tokenizer has more words than the model itself.",
            "The result can be used, but its quality is not measured.",
        )
    place = Place(device)
    states = yield from _last_states(skeleton, (source, *results), windows.tokens, place)
    found = []
    for number, result in enumerate(results):
        pair = _Pair((source, result), (states[0], states[1 + number]), number, len(results))
        scores = yield from _score_slices(skeleton, pair, windows.tokens, place)
        found.append(_quality(scores, windows))
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
    with closing(run_layers(skeleton, sources, tokens, place)) as passing:
        while True:
            try:
                step = next(passing)
            except StopIteration as end:
                states: list[Tensor] = end.value
                return states
            whole = step.total * (1 + _HEAD_LAYERS / skeleton.layers)
            yield Progress("evaluate", step.done, step.total, step.item, step.done / whole)


def _score_slices(
    skeleton: Skeleton, pair: _Pair, tokens: Tensor, place: Place
) -> Generator[Progress, None, Sequence[Scores]]:
    """Compare the logits of the scored positions a slice at a time; none are kept."""
    first = tokens.shape[1] // 2
    before, after = (state[:, first:-1].flatten(0, 1) for state in pair.states)
    wanted = tokens[:, first + 1 :].flatten()
    heads = Lent([skeleton.head_weights(source) for source in pair.weights], place)
    rows = _LOGIT_BYTES // (4 * _COPIES * skeleton.vocabulary)
    rows = max(1, min(tokens.shape[1], rows))

    def compute(start: int, stop: int) -> Scores:
        head_before, head_after = heads.placed()
        at = slice(start, stop)
        return _score(
            _logits(skeleton, head_before, before[at], place),
            _logits(skeleton, head_after, after[at], place),
            moved(wanted[at], place.device),
        )

    scores: list[Scores] = []
    layers = skeleton.layers
    for _, stop, found in in_slices(len(wanted), rows, place, compute):
        scores.append(found)
        heads_done = _HEAD_LAYERS * (pair.number + stop / len(wanted)) / pair.count
        share = (layers + heads_done) / (layers + _HEAD_LAYERS)
        yield Progress("evaluate", stop, len(wanted), "next-token predictions", share)
    return scores


def _logits(skeleton: Skeleton, head: Weights, hidden: Tensor, place: Place) -> Tensor:
    return skeleton.logits(head, moved(hidden, place.device)).float()


def _score(before: Tensor, after: Tensor, wanted: Tensor) -> Scores:
    """Compare two slices of logits, (positions, vocabulary)."""
    import torch

    with torch.no_grad():
        same_top = before.argmax(-1) == after.argmax(-1)
        log_p = before.log_softmax(-1)
        log_q = after.log_softmax(-1)
        kl = log_p.exp().mul_(log_p - log_q).sum(-1)
        kl.clamp_(min=0)  # it is never below, but by rounding
        losses = [-log.gather(-1, wanted[:, None])[:, 0] for log in (log_p, log_q)]
    return Scores(losses[0].cpu(), losses[1].cpu(), kl.cpu(), same_top.float().cpu())


def _quality(slices: Sequence[Scores], windows: Windows) -> Quality:
    import torch

    def together(name: str) -> Tensor:
        return torch.cat([getattr(scores, name) for scores in slices]).double()

    kl = together("kl")
    perplexity_before = _perplexity(together("loss_before"))
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
        perplexity_after=_perplexity(together("loss_after")),
        kl_mean=float(kl.mean()),
        kl_p99=float(kl.quantile(0.99)),
        same_top=float(together("same_top").mean()),
    )


def _perplexity(losses: Tensor) -> float:
    """Exponential of the mean; infinite where that is too large for a number."""
    mean = float(losses.mean())
    return math.exp(mean) if not mean > 700 else math.inf
