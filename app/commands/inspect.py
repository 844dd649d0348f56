"""`nibble inspect MODEL`: what a model is, and what can be made of it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import ClassVar

from typing_extensions import override

from app.commands.base import Answer, Command
from app.commands.terminal import table
from app.core import words
from app.core.model import FormatChoice, Inspection, ModelFacts


class Inspect(Command):
    """Reads headers, config and tokenizer only."""

    name: ClassVar[str] = "inspect"
    help: ClassVar[str] = "show a model, and the exact size of everything it can become"

    @override
    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("model", help="a folder, a .gguf file, or: sample")

    @override
    def run(self, args: argparse.Namespace) -> Answer:
        from app.inspection import inspect_model

        found = inspect_model(Path(args.model))
        return Answer(_text(found), found.to_json())


def _text(found: Inspection) -> str:
    return f"{_headline(found.model)}\n\n{table(('format', 'size', 'bits', ''), _rows(found))}"


def _headline(model: ModelFacts) -> str:
    context = f"context {model.context:,}" if model.context else ""
    facts = (
        model.architecture,
        f"{words.count(model.weights)} weights",
        f"{words.size(model.nbytes)} as {model.dtype}",
        f"{model.layers} layers" if model.layers else "",
        context,
    )
    return f"{model.name}: {' · '.join(fact for fact in facts if fact)}"


def _rows(found: Inspection) -> list[tuple[str, str, str, str]]:
    return [_row(choice) for choice in found.choices]


def _row(choice: FormatChoice) -> tuple[str, str, str, str]:
    name = choice.preset + (" *" if choice.recommended else "")
    if choice.problem:
        return name, "-", "-", choice.problem.title
    note = choice.quality
    if choice.fallbacks:
        note += f"; {len(choice.fallbacks)} tensors cannot have their type and take a larger one"
    return name, words.size(choice.nbytes), f"{choice.bits_per_weight:.2f}", note
