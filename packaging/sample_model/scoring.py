"""Measures how well a model predicts a text."""

from __future__ import annotations

import dataclasses
import math

import torch
from model_files import BEGIN_ID
from tokenizers import Tokenizer
from torch.nn import functional
from transformers import LlamaForCausalLM

WINDOW = 512
_BATCH = 8


@dataclasses.dataclass(frozen=True)
class Score:
    """The outcome of scoring one text."""

    tokens: int
    perplexity: float
    bits_per_character: float


@torch.inference_mode()
def score_text(model: LlamaForCausalLM, tokenizer: Tokenizer, text: str) -> Score:
    """Scores a text in consecutive windows that share nothing but the begin token.

    Every token of the text is predicted exactly once.  The first ones of each window have little
    context, so this is a pessimistic figure compared with a sliding window.

    Args:
        model: The network to score with.
        tokenizer: Its tokenizer.
        text: The text to predict.

    Returns:
        The perplexity per token and the bits per character.
    """
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    pieces = [ids[start : start + WINDOW - 1] for start in range(0, len(ids), WINDOW - 1)]
    was_training = model.training
    model.eval()
    total = 0.0
    full = [piece for piece in pieces if len(piece) == WINDOW - 1]
    batches = [full[start : start + _BATCH] for start in range(0, len(full), _BATCH)]
    batches += [[piece] for piece in pieces if len(piece) < WINDOW - 1]
    for batch in batches:
        windows = torch.tensor([[BEGIN_ID, *piece] for piece in batch])
        logits = model(input_ids=windows, use_cache=False).logits[:, :-1].float()
        targets = windows[:, 1:]
        total += functional.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), reduction="sum"
        ).item()
    model.train(was_training)
    return Score(len(ids), math.exp(total / len(ids)), total / math.log(2) / len(text))
