"""`nibble formats`: what can be made."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from app.commands.base import Answer, Command
from app.commands.terminal import table

if TYPE_CHECKING:
    from app.formats.base import Preset

_LEGEND = "\n\n* the usual choice\n! needs an importance matrix"


class Formats(Command):
    """Lists the presets of every format."""

    name: ClassVar[str] = "formats"
    help: ClassVar[str] = "list the formats that a model can be converted to"

    @override
    def run(self, args: argparse.Namespace) -> Answer:
        from app.formats import PRESETS

        rows: list[tuple[str, str, str]] = []
        for group, members in groupby(PRESETS.values(), key=lambda one: one[1].group):
            rows += [("", "", ""), (f"{group}:", "", "")] if rows else [(f"{group}:", "", "")]
            rows += [_row(preset) for _, preset in members]
        text = table(("format", "quality", ""), rows) + _LEGEND
        document = [
            {"format": form.name, "runs_in": form.runs_in, **asdict(preset)}
            for form, preset in PRESETS.values()
        ]
        return Answer(text, document)


def _row(preset: Preset) -> tuple[str, str, str]:
    marks = " *" * preset.recommended + " !" * preset.needs_importance
    return preset.name + marks, preset.quality, preset.summary
