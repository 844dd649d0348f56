"""`nibble formats`: what can be made, and what can choose its numbers."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from app.commands.base import Answer, Command
from app.commands.terminal import table
from app.core.runtime import Runtime

if TYPE_CHECKING:
    from app.core.model import MethodFacts
    from app.formats.base import Format, Preset

_LEGEND = "\n\n* the usual choice\n! needs an importance matrix"
_Row = tuple[str, str, str]
_NOTHING: _Row = ("", "", "")


class Formats(Command):
    """Lists the presets of every format by the programs that load them, then by size."""

    name: ClassVar[str] = "formats"
    help: ClassVar[str] = "list the formats that a model can be converted to"

    @override
    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--for",
            dest="runtime",
            type=Runtime,
            choices=tuple(Runtime),
            help="only those that these programs load: llama.cpp, vllm, transformers or mlx",
        )
        parser.add_argument(
            "--methods",
            action="store_true",
            help="list the methods that choose numbers instead, with their options",
        )

    @override
    def run(self, args: argparse.Namespace) -> Answer:
        return _methods() if args.methods else _formats(args.runtime)


def _formats(wanted: Runtime | None) -> Answer:
    from app.formats import PRESETS

    known = [(form, preset, form.runtimes(preset)) for form, preset in PRESETS.values()]
    blocks = [
        [
            (f"For {runtime.label}", "", ""),
            *_by_size(one for _, one, those in known if runtime in those),
        ]
        for runtime in Runtime
        if wanted in {None, runtime}
    ]
    rows = [row for block in blocks for row in (*block, _NOTHING)]
    document = [
        _fields(form, preset, runtimes)
        for form, preset, runtimes in known
        if wanted is None or wanted in runtimes
    ]
    return Answer(table(("format", "quality", ""), rows[:-1]) + _LEGEND, document)


def _fields(form: Format, preset: Preset, runtimes: Iterable[Runtime]) -> dict[str, object]:
    programs = {"runs_in": form.programs(preset), "runtimes": list(runtimes)}
    return {"format": form.name, **asdict(preset), **programs}


def _by_size(presets: Iterable[Preset]) -> Iterator[_Row]:
    for group, members in groupby(presets, key=lambda one: one.group):
        yield f"  {group}:", "", ""
        for preset in members:
            marks = " *" * preset.recommended + " !" * preset.needs_importance
            yield f"    {preset.name}{marks}", preset.quality, preset.summary


def _methods() -> Answer:
    from app.calibration.offered import describe_methods
    from app.calibration.treatment import method_names

    found = describe_methods(method_names())
    rows = [row for method in found for row in (*_method(method), _NOTHING)]
    text = table(("method", "default", ""), rows[:-1])
    legend = "\n\nA smoothing (awq, smoothquant) and gptq can be joined: awq+gptq."
    return Answer(text + legend, [asdict(method) for method in found])


def _method(method: MethodFacts) -> Iterator[_Row]:
    yield method.name, "", method.summary
    for option in method.options:
        yield f"    {option.name}", option.default, f"{option.sentence} ({option.values})"
