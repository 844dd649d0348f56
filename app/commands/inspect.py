"""`nibble inspect MODEL`: what a model is, and what can be made of it.

With --json, one document: `core.model.Inspection` ("model" and "choices"). For a model of the
hub, whose weights stay there, "model.path" is its id, and there is a third field:

    "hub": {"details": core.hub.HubModelDetails, "convertible": core.hub.Convertible}

Where such a model cannot be read at all, "model" is null and "choices" empty;
"convertible" says why.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from typing_extensions import override

from app.commands.base import Answer, Command
from app.commands.terminal import table
from app.core import words
from app.core.hub import is_hub_id
from app.core.model import FormatChoice, Inspection, ModelFacts
from app.core.runtime import Runtime


class Inspect(Command):
    """Reads headers, config and tokenizer only."""

    name: ClassVar[str] = "inspect"
    help: ClassVar[str] = "show a model, and the exact size of everything it can become"

    @override
    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("model", help="a folder, a .gguf file, sample, or org/name on the hub")
        parser.add_argument("--file", default="", help="one GGUF file of a model on the hub")

    @override
    def run(self, args: argparse.Namespace) -> Answer:
        from app.inspection import inspect_model

        if is_hub_id(args.model) and not Path(args.model).exists():
            return _on_hub(args.model, args.file)
        found = inspect_model(Path(args.model))
        return Answer(_text(found), found.to_json())


def _on_hub(name: str, file: str) -> Answer:
    from app.commands.download import named
    from app.hub.client import Client
    from app.hub.details import model
    from app.hub.verdict import verdict
    from app.inspection import inspect_checkpoint

    with Client() as client:
        details = model(client, *named(name))
        convertible, checkpoint = verdict(client, details, file)
    hub = {"details": details.to_json(), "convertible": convertible.to_json()}
    lines = [f"Can be converted: {convertible.word}", *convertible.sentences]
    lines += [f"has {one.name} ({words.size(one.nbytes)})" for one in details.gguf_files]
    if checkpoint is None:
        document: dict[str, Any] = {"model": None, "choices": [], "hub": hub}
        return Answer("\n".join([details.model.id, *lines]), document)
    found = inspect_checkpoint(checkpoint)
    found = replace(found, model=replace(found.model, path=name))
    return Answer("\n".join([_text(found), "", *lines]), {**found.to_json(), "hub": hub})


def _text(found: Inspection) -> str:
    return f"{_headline(found.model)}\n\n{table(('format', 'size', 'bits', ''), [*_rows(found)])}"


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


def _rows(found: Inspection) -> Iterator[tuple[str, str, str, str]]:
    """Every format once, under the first of the programs that load it."""
    for runtime in Runtime:
        choices = [row for row in found.choices if row.runtimes[:1] == (runtime,)]
        if choices:
            yield f"For {runtime.label}", "", "", ""
            yield from map(_row, choices)


def _row(choice: FormatChoice) -> tuple[str, str, str, str]:
    name = "  " + choice.preset + (" *" if choice.recommended else "")
    if choice.problem:
        return name, "-", "-", choice.problem.title
    note = choice.quality
    if choice.requantize:
        note += "; accuracy is lost twice, so it takes --allow-requantize"
    if choice.fallbacks:
        note += f"; {len(choice.fallbacks)} tensors cannot have their type and take a larger one"
    return name, words.size(choice.nbytes), f"{choice.bits_per_weight:.2f}", note
