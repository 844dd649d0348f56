"""The text that models are compared on, as the tokens of one model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.core.errors import Unsupported
from app.core.places import resources
from app.evaluation.tokenizer import Tokenizer

if TYPE_CHECKING:
    from torch import Tensor

DEFAULT_CONTEXT = 512
"""Tokens a window, as in llama.cpp's tools."""

_LEAST_CONTEXT = 8
_CHARACTERS_A_TOKEN = 20  # far more than any tokenizer has on average; bounds what is read


def evaluation_text() -> Path:
    """The text that is shipped: prose under a free licence, not in the calibration text."""
    return resources() / "text" / "evaluation.txt"


def window_length(config: Mapping[str, Any]) -> int:
    """Tokens a window for a model: the default, or its whole context if that is shorter."""
    return min(DEFAULT_CONTEXT, longest_context(config) or DEFAULT_CONTEXT)


def longest_context(config: Mapping[str, Any]) -> int | None:
    """Tokens that a model was made to read at most, where its config says it."""
    named = (config.get(name) for name in ("max_position_embeddings", "n_positions"))
    return next((found for found in named if isinstance(found, int)), None)


@dataclass(frozen=True, slots=True)
class Windows:
    """A text, cut into windows that are read independently."""

    tokens: Tensor
    """(windows, context), int64, on the host."""
    text: str
    """Name of the text."""


def cut_windows(
    tokenizer: Tokenizer, *, tokens: int, context: int = DEFAULT_CONTEXT, path: Path | None = None
) -> Windows:
    """Tokenize a text and cut it into windows.

    Where the tokenizer opens a text with a token of its own, that token takes the first place
    of every window, as in llama.cpp's perplexity tool.

    Args:
        tokenizer: The model's own.
        tokens: How many tokens to read at most; rounded down to whole windows, at least one.
        context: Tokens a window, at most the context that the model was made for.
        path: The text; None means `evaluation_text`.

    Raises:
        Unsupported: The text is too short for two scored tokens, or the context too small.
    """
    import torch

    path = path or evaluation_text()
    with path.open(encoding="utf-8", errors="replace") as file:
        ids = tokenizer.encode(file.read(_CHARACTERS_A_TOKEN * tokens))
    context = min(context, len(ids))
    if context < _LEAST_CONTEXT:
        raise Unsupported(
            "The text is too short to measure a model with.",
            f"Choose a text of at least {_LEAST_CONTEXT} words.",
        )
    count = max(1, min(tokens, len(ids)) // context)
    windows = torch.tensor(ids[: count * context], dtype=torch.int64).reshape(count, context)
    if tokenizer.opening is not None:
        windows[:, 0] = tokenizer.opening
    return Windows(windows, path.stem)


def prompts(tokenizer: Tokenizer, *, count: int, length: int) -> Sequence[Sequence[int]]:
    """The first `length` tokens of paragraphs from all over the evaluation text."""
    paragraphs = evaluation_text().read_text(encoding="utf-8").split("\n\n")
    tokenized = (tokenizer.encode(paragraph.strip()) for paragraph in paragraphs)
    long_enough = [ids[:length] for ids in tokenized if len(ids) >= 2 * length]
    step = max(1, len(long_enough) // count)
    return long_enough[::step][:count]
