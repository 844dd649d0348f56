"""What both models write when they go on with the same words.

Greedy decoding, so that the only difference is the weights. Both models are loaded whole, one
after the other, hence only where they fit comfortably.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from app.core.events import Progress
from app.core.report import Sample
from app.core.words import size
from app.evaluation.text import longest_context, prompts
from app.evaluation.tokenizer import Tokenizer
from app.models.skeleton import Skeleton, WeightSource

if TYPE_CHECKING:
    from torch import Tensor

SAMPLES = 3
PROMPT_TOKENS = 24
NEW_TOKENS = 48

_SHARE_OF_MEMORY = 1 / 3
"""How much of the free memory a model may take, in float32."""


def continue_prompts(
    source: WeightSource, result: WeightSource, tokenizer: Tokenizer, new_tokens: int = NEW_TOKENS
) -> Generator[Progress, None, tuple[tuple[Sample, ...], str]]:
    """Let both models continue a few beginnings; see `continue_all`."""
    found, why = yield from continue_all(source, [result], tokenizer, new_tokens)
    return found[0], why


def continue_all(
    source: WeightSource,
    results: Sequence[WeightSource],
    tokenizer: Tokenizer,
    new_tokens: int = NEW_TOKENS,
) -> Generator[Progress, None, tuple[list[tuple[Sample, ...]], str]]:
    """Let a model and its results continue a few beginnings from the evaluation text.

    Yields:
        Progress of a stage's last part: its `overall` is 1.

    Returns:
        For each result a sample for each beginning; or none, and why.
    """
    import psutil
    import torch

    skeleton = Skeleton(source.config, max_layers=len(source.names))
    needed, free = 4 * skeleton.parameters, psutil.virtual_memory().available
    if needed > _SHARE_OF_MEMORY * free:
        return [()] * len(results), (
            f"No sample texts: they would take {size(needed)} of memory, and {size(free)} is free."
        )
    beginnings = prompts(tokenizer, count=SAMPLES, length=PROMPT_TOKENS)
    ids = torch.tensor(beginnings)
    if tokenizer.opening is not None:
        ids = torch.cat([torch.full((len(ids), 1), tokenizer.opening), ids], dim=1)
    longest = longest_context(source.config) or ids.shape[1] + new_tokens
    new_tokens = min(new_tokens, longest - ids.shape[1])
    if new_tokens < 1:
        return [()] * len(results), f"No sample texts: the model reads {longest} tokens at most."
    written = []
    for weights in (source, *results):
        continued = yield from _continue(skeleton, weights, ids, new_tokens)
        texts = (_until(row, _ends(source.config)) for row in continued.tolist())
        written.append([tokenizer.decode(text) for text in texts])
    starts = [tokenizer.decode(beginning) for beginning in beginnings]
    before, *after = written
    return [
        tuple(Sample(*texts) for texts in zip(starts, before, texts_after, strict=True))
        for texts_after in after
    ], ""


def _continue(
    skeleton: Skeleton, source: WeightSource, ids: Tensor, count: int
) -> Generator[Progress, None, Tensor]:
    """The most likely next tokens: (texts, count)."""
    import torch

    weights = skeleton.all_weights(source)
    cache: Any = None
    written: list[Tensor] = []
    for done in range(1, count + 1):
        logits, cache = skeleton.next_logits(weights, ids, cache)
        ids = logits.argmax(-1, keepdim=True)
        written.append(ids)
        yield Progress("evaluate", done, count, "sample texts", overall=1.0)
    return torch.cat(written, dim=1)


def _ends(config: Mapping[str, Any]) -> Collection[int]:
    """The tokens that end a text."""
    found = config.get("eos_token_id")
    return found if isinstance(found, list) else [] if found is None else [found]


def _until(ids: Sequence[int], ends: Collection[int]) -> Sequence[int]:
    """What was written before the text was ended."""
    stop = next((place for place, token in enumerate(ids) if token in ends), len(ids))
    return ids[:stop]
