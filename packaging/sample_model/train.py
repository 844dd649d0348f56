"""Trains the sample model that Nibble ships, so that the app works without a network.

Needs Python 3.11+ with torch, transformers and tokenizers, and Debian's package of six Jane Austen
novels (``apt-get download r-cran-janeaustenr``).  Run from the root of the repository:

    python packaging/sample_model/train.py r-cran-janeaustenr_1.0.0-1_all.deb

This rewrites ``resources/sample_model`` and the two texts in ``resources/text``.  Training takes
about an hour on two CPU cores; it continues from the last checkpoint if it was interrupted.  The
same seed gives the same tokenizer and texts everywhere, but the weights only up to the rounding of
the machine's arithmetic.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import math
import random
import time
from pathlib import Path

import torch
from corpus import Corpus, load_corpus, write_texts
from model_files import BEGIN_ID, CONTEXT, END_ID, build_model, save_model, save_tokenizer
from model_files import train_tokenizer
from scoring import Score, score_text
from tokenizers import Tokenizer
from torch import Tensor, nn

RESOURCES = Path(__file__).resolve().parents[2] / "resources"

log = logging.getLogger("train")


@dataclasses.dataclass(frozen=True)
class Options:
    """What can be set on the command line."""

    source: Path
    output: Path
    texts: Path
    checkpoint: Path
    steps: int
    batch_tokens: int
    learning_rate: float
    weight_decay: float
    dropout: float
    average: float
    seed: int
    threads: int
    validate_every: int
    compile: bool


def parse_options() -> Options:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    add = parser.add_argument
    add("source", type=Path, help="Debian's r-cran-janeaustenr package, or its extracted folder")
    add("--output", type=Path, default=RESOURCES / "sample_model", help="model folder to write")
    add("--texts", type=Path, default=RESOURCES / "text", help="folder for the two texts")
    add("--checkpoint", type=Path, default=Path("sample_model_checkpoint.pt"))
    add("--steps", type=int, default=2400, help="optimizer steps")
    add("--batch-tokens", type=int, default=8192, help="tokens per step")
    add("--learning-rate", type=float, default=4e-3, help="peak learning rate")
    add("--weight-decay", type=float, default=0.1)
    add("--dropout", type=float, default=0.1, help="dropout on what each block adds")
    add("--average", type=float, default=0.99, help="decay of the running average of the weights")
    add("--seed", type=int, default=1813)
    add("--threads", type=int, default=2)
    add("--validate-every", type=int, default=100, help="steps between validations")
    add("--compile", action="store_true", help="compile the network; needs a C++ compiler")
    return Options(**vars(parser.parse_args()))


class WindowSampler:
    """Draws training windows from the novels.

    The chapters are one long stream, ``begin, text, end`` each.  An epoch cuts that stream into
    windows from a random offset on and shuffles them, so that every token is seen once per epoch
    and no two epochs cut at the same places.
    """

    def __init__(self, stream: Tensor, batch_tokens: int, seed: int) -> None:
        self._stream = stream
        self._batch_tokens = batch_tokens
        self._random = random.Random(seed)
        self._starts: list[int] = []
        self._length = 0

    def _start_epoch(self) -> None:
        # Mostly short windows, which are cheaper; a quarter teaches the positions up to the end of
        # the context.
        self._length = CONTEXT if self._random.random() < 0.25 else CONTEXT // 2
        offset = self._random.randrange(self._length)
        self._starts = list(range(offset, len(self._stream) - self._length, self._length))
        self._random.shuffle(self._starts)

    def next_batch(self) -> tuple[Tensor, Tensor]:
        """Returns the inputs and targets of the next step, both of shape (windows, length)."""
        if len(self._starts) * self._length < self._batch_tokens:
            self._start_epoch()
        count = self._batch_tokens // self._length
        starts, self._starts = self._starts[:count], self._starts[count:]
        windows = torch.stack([self._stream[s : s + self._length + 1] for s in starts])
        inputs, targets = windows[:, :-1].clone(), windows[:, 1:]
        # Half of the windows start with the begin token, as prompts do; the others do not, as the
        # later windows of a long text do not.
        inputs[::2, 0] = BEGIN_ID
        return inputs, targets
