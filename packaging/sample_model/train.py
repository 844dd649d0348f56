"""Trains the sample model that Nibble ships, so that the app works without a network.

Needs Python 3.11+ with torch, transformers and tokenizers, and Debian's package of six Jane Austen
novels (``apt-get download r-cran-janeaustenr``).  Run from the root of the repository:

    python packaging/sample_model/train.py r-cran-janeaustenr_1.0.0-1_all.deb

This rewrites ``resources/sample_model`` and the two texts in ``resources/text``.  Training takes
roughly half an hour on two idle CPU cores, less with ``--compile``.  On busy ones, set the
environment variable ``OMP_WAIT_POLICY=PASSIVE``, or the threads burn their time waiting for each
other.  Training continues from the last checkpoint if it was interrupted, so delete that file to
start over.  The tokenizer and the texts come out the same everywhere, the weights only up to the
rounding of the machine's arithmetic.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import math
import random
import sys
import time
from pathlib import Path

import torch
from corpus import Corpus, load_corpus, write_texts
from model_files import (
    BEGIN_ID,
    CONTEXT,
    END_ID,
    build_model,
    save_model,
    save_tokenizer,
    train_tokenizer,
)
from scoring import Score, score_text
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional
from transformers import LlamaForCausalLM

ROOT = Path(__file__).resolve().parents[2]

# Part of the schedule, from its start, during which windows are short.
SHORT_WINDOWS_UNTIL = 0.4
WARM_UP_STEPS = 60
# How many neighbouring tokens share a dropout mask; it divides every window length.
DROPOUT_TOKENS = 16

log = logging.getLogger("train")


@dataclasses.dataclass(frozen=True)
class Options:
    """What can be set on the command line."""

    source: Path
    output: Path
    texts: Path
    checkpoint: Path
    steps: int
    minutes: float
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
    add("--output", type=Path, default=ROOT / "resources/sample_model", help="model folder")
    add("--texts", type=Path, default=ROOT / "resources/text", help="folder for the two texts")
    add("--checkpoint", type=Path, default=ROOT / "build/sample_model.pt", help="where to save")
    add("--steps", type=int, default=800, help="optimizer steps")
    add("--minutes", type=float, default=math.inf, help="time limit; the schedule is cut to fit")
    add("--batch-tokens", type=int, default=8192, help="tokens per step")
    add("--learning-rate", type=float, default=4e-3, help="peak learning rate")
    add("--weight-decay", type=float, default=0.5, help="for hidden matrices")
    add("--dropout", type=float, default=0.15, help="dropout on what each block adds")
    add("--average", type=float, default=0.99, help="decay of the running average of the weights")
    add("--seed", type=int, default=1813)
    add("--threads", type=int, default=2)
    add("--validate-every", type=int, default=50, help="steps between validations")
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
        self._random = random.Random(seed)  # noqa: S311 (repeatable, not secret)
        self._starts: list[int] = []
        self._length = 0
        self._epoch = 0

    def _start_epoch(self, progress: float) -> None:
        self._epoch += 1
        # Short windows cost less, and what a network learns first needs little context.  Later on,
        # every fourth epoch teaches the positions up to the end of the context.
        if progress < SHORT_WINDOWS_UNTIL:
            self._length = CONTEXT // 4
        else:
            self._length = CONTEXT if self._epoch % 4 == 0 else CONTEXT // 2
        offset = self._random.randrange(self._length)
        self._starts = list(range(offset, len(self._stream) - self._length, self._length))
        self._random.shuffle(self._starts)

    def next_batch(self, progress: float) -> tuple[Tensor, Tensor]:
        """Returns the inputs and targets of the next step, both of shape (windows, length)."""
        count = self._batch_tokens // max(self._length, 1)
        if len(self._starts) < count:  # The few windows that fill no batch are left out.
            self._start_epoch(progress)
            count = self._batch_tokens // self._length
        starts, self._starts = self._starts[:count], self._starts[count:]
        windows = torch.stack([self._stream[s : s + self._length + 1] for s in starts])
        inputs, targets = windows[:, :-1].clone(), windows[:, 1:]
        # Half of the windows start with the begin token, as prompts do; the others do not, as the
        # later windows of a long text do not.
        inputs[::2, 0] = BEGIN_ID
        return inputs, targets


def add_dropout(model: LlamaForCausalLM, probability: float) -> None:
    """Drops part of the embeddings and of what each block adds to them, while training.

    The text is short for a network of this size.  Llama itself only knows dropout on attention
    weights, which would take PyTorch off its fast attention path on a CPU.  Neighbouring tokens
    share what is dropped: drawing a random number for each would take a third of the time.
    """

    def hook(module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        if not module.training:
            return output
        windows, length, width = output.shape
        kept = output.new_empty(windows, length // DROPOUT_TOKENS, 1, width)
        kept = kept.bernoulli_(1 - probability) / (1 - probability)
        return (output.reshape(windows, -1, DROPOUT_TOKENS, width) * kept).flatten(1, 2)

    for name, module in model.named_modules():
        if name.endswith(("embed_tokens", "o_proj", "down_proj")):
            module.register_forward_hook(hook)


class Trainer:
    """Holds everything that changes during training, and saves and restores it."""

    def __init__(self, options: Options, corpus: Corpus, tokenizer: Tokenizer) -> None:
        torch.manual_seed(options.seed)
        self._options = options
        self._tokenizer = tokenizer
        self._validation = corpus.validation.text
        stream = encode_stream(corpus, tokenizer)
        log.info("%d training tokens", len(stream))
        self._sampler = WindowSampler(stream, options.batch_tokens, options.seed)
        self._model = build_model().train()
        # What is validated and kept is a running average of the weights: it generalizes better
        # than any single step's.  It stays float32 like the trained weights; only the arithmetic
        # within a step is bfloat16.
        self._average = build_model().eval()
        self._average.load_state_dict(self._model.state_dict())
        add_dropout(self._model, options.dropout)
        self._optimizers = self._make_optimizers()
        self._forward = torch.compile(self._model) if options.compile else self._model
        self._step = 0
        self._seconds = 0.0
        self._best: dict[str, Tensor] = {}
        self._best_perplexity = math.inf

    def _make_optimizers(self) -> list[torch.optim.Optimizer]:
        """Muon learns faster per token than AdamW, but is only meant for hidden matrices."""
        hidden: list[Tensor] = []
        other: list[Tensor] = []
        for name, parameter in self._model.named_parameters():
            is_matrix = parameter.ndim == 2 and "embed_tokens" not in name
            (hidden if is_matrix else other).append(parameter)
        rate, decay = self._options.learning_rate, self._options.weight_decay
        return [
            torch.optim.Muon(hidden, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(other, lr=rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
        ]

    @property
    def _progress(self) -> float:
        """How much of the schedule is over, by steps or by time, whichever is further."""
        by_time = self._seconds / 60 / self._options.minutes
        return max(self._step / self._options.steps, by_time)

    def _rate_factor(self) -> float:
        warm_up = min(1.0, (self._step + 1) / WARM_UP_STEPS)
        return warm_up * 0.5 * (1 + math.cos(math.pi * min(1.0, self._progress)))

    def _train_step(self) -> float:
        """Takes one optimizer step and returns its loss."""
        inputs, targets = self._sampler.next_batch(self._progress)
        with torch.autocast("cpu", torch.bfloat16):
            logits = self._forward(input_ids=inputs, use_cache=False).logits
            loss = functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())
        torch.autograd.backward(loss)
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self._options.learning_rate * self._rate_factor()
            optimizer.step()
            optimizer.zero_grad()
        self._step += 1
        # Early on, a long average would mostly hold the random weights.
        decay = min(self._options.average, self._step / (self._step + 10))
        pairs = zip(self._average.parameters(), self._model.parameters(), strict=True)
        with torch.no_grad():
            for average, parameter in pairs:
                average.lerp_(parameter, 1 - decay)
        return loss.item()

    def _validate(self, loss: float) -> None:
        score = score_text(self._average, self._tokenizer, self._validation)
        if score.perplexity < self._best_perplexity:
            self._best_perplexity = score.perplexity
            self._best = {k: v.clone() for k, v in self._average.state_dict().items()}
        log.info(
            "step %d, %.1f min, progress %.3f, training loss %.3f, validation perplexity %.2f",
            self._step,
            self._seconds / 60,
            self._progress,
            loss,
            score.perplexity,
        )

    def save(self) -> None:
        """Writes the checkpoint, in a way that an interruption leaves the previous one."""
        state = {
            "model": self._model.state_dict(),
            "average": self._average.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
            "step": self._step,
            "seconds": self._seconds,
            "best": self._best,
            "best_perplexity": self._best_perplexity,
        }
        self._options.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        partial = self._options.checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self._options.checkpoint)

    def restore(self) -> None:
        """Continues from the checkpoint, if there is one; windows are then drawn anew."""
        if not self._options.checkpoint.exists():
            return
        state = torch.load(self._options.checkpoint, weights_only=True)
        self._model.load_state_dict(state["model"])
        self._average.load_state_dict(state["average"])
        for optimizer, saved in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self._step, self._seconds = state["step"], state["seconds"]
        self._best, self._best_perplexity = state["best"], state["best_perplexity"]
        log.info("continuing at step %d", self._step)

    def run(self) -> LlamaForCausalLM:
        """Trains to the end of the schedule and returns the best averaged network."""
        loss = 0.0
        while self._progress < 1:
            started = time.monotonic()
            step_loss = self._train_step()
            loss = step_loss if loss == 0 else 0.95 * loss + 0.05 * step_loss
            self._seconds += time.monotonic() - started
            if self._step % self._options.validate_every == 0 or self._progress >= 1:
                self._validate(loss)
                self.save()
        self._average.load_state_dict(self._best)
        return self._average


def encode_stream(corpus: Corpus, tokenizer: Tokenizer) -> Tensor:
    """Encodes the training chapters as one row of tokens, with begin and end tokens."""
    ids: list[int] = []
    for chapter in corpus.training:
        ids += [BEGIN_ID, *tokenizer.encode(chapter.text, add_special_tokens=False).ids, END_ID]
    return torch.tensor(ids)


def report(options: Options, corpus: Corpus, tokenizer: Tokenizer, best: LlamaForCausalLM) -> None:
    """Logs the figures of the model card: before and after rounding the weights to bfloat16."""
    saved = LlamaForCausalLM.from_pretrained(options.output, dtype=torch.float32)
    for kind, model in (("float32", best), ("bfloat16", saved)):
        for chapter in (corpus.validation, corpus.evaluation):
            score: Score = score_text(model, tokenizer, chapter.text)
            log.info("%s weights, %s %d: %s", kind, chapter.work, chapter.number, score)


def main() -> int:
    """Runs the whole training and returns the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    options = parse_options()
    torch.set_num_threads(options.threads)
    corpus = load_corpus(options.source)
    write_texts(corpus, options.texts)
    tokenizer = train_tokenizer(chapter.text for chapter in corpus.training)
    trainer = Trainer(options, corpus, tokenizer)
    trainer.restore()
    best = trainer.run()
    options.output.mkdir(parents=True, exist_ok=True)
    save_tokenizer(tokenizer, options.output)
    save_model(best, options.output)
    report(options, corpus, tokenizer, best)
    return 0


if __name__ == "__main__":
    sys.exit(main())
