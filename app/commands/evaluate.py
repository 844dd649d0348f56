"""`nibble evaluate REFERENCE QUANTIZED`: what one model lost against another."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import ClassVar

from typing_extensions import override

from app.commands.base import Answer, Command
from app.commands.terminal import outcome, positive, table
from app.core import words
from app.core.errors import Unsupported
from app.core.report import Quality, TensorResult

_WORST = 10


class Evaluate(Command):
    """Runs both models on the same text and compares their weights."""

    name: ClassVar[str] = "evaluate"
    help: ClassVar[str] = "measure what a converted model lost against its original"

    @override
    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("reference", help="the original: a folder, a .gguf file, or: sample")
        parser.add_argument("quantized", help="the converted model: a .gguf file or a folder")
        parser.add_argument("--text", type=Path, help="text to read (default: the one shipped)")
        parser.add_argument("--tokens", type=positive, default=4096, help="default: 4096")
        parser.add_argument("--device", default="cpu", help="cpu, cuda:0, mps (default: cpu)")

    @override
    def run(self, args: argparse.Namespace) -> Answer:
        from app.evaluation.comparison import compare
        from app.evaluation.text import cut_windows, window_length
        from app.evaluation.tokenizer import open_tokenizer
        from app.evaluation.weight_error import compare_weights
        from app.models import open_model
        from app.models.named_weights import NamedWeights
        from app.worker.device import place_on

        if args.text and not args.text.is_file():
            raise Unsupported(f"There is no file {args.text}.", "Give the path of a text file.")
        reference = open_model(Path(args.reference))
        source = NamedWeights(reference)
        result = NamedWeights(open_model(Path(args.quantized)))
        windows = cut_windows(
            open_tokenizer(reference),
            tokens=args.tokens,
            context=window_length(source.config),
            path=args.text,
        )
        tensors = outcome(compare_weights(source, result))
        quality = outcome(compare(source, result, windows, place_on(args.device)))
        document = {"quality": asdict(quality), "tensors": [asdict(row) for row in tensors]}
        return Answer(_text(quality, tensors), document)


def _text(quality: Quality, tensors: tuple[TensorResult, ...]) -> str:
    from app.evaluation.verdict import figure, verdict

    found = verdict(quality)
    worst = sorted(tensors, key=lambda row: row.error, reverse=True)[:_WORST]
    perplexity = f"{quality.perplexity_before:.3f} -> {quality.perplexity_after:.3f}"
    rows = [
        ("perplexity", perplexity),
        ("KL divergence", f"{figure(quality.kl_mean)} mean, {figure(quality.kl_p99)} worst 1 %"),
        ("same next word", words.percent(quality.same_top)),
        ("positions", f"{quality.tokens:,} of {quality.text}"),
    ]
    errors = [(row.name, row.encoding, figure(row.error), figure(row.max_error)) for row in worst]
    head = ("largest errors", "type", "relative", "maximum")
    return f"{found.word}: {found.detail}\n\n{table(('', ''), rows)}\n\n{table(head, errors)}"
