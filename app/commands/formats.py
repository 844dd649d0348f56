"""`nibble formats`: what can be made."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import ClassVar

from typing_extensions import override

from app.commands.base import Answer, Command
from app.commands.terminal import table


class Formats(Command):
    """Lists the presets of every format."""

    name: ClassVar[str] = "formats"
    help: ClassVar[str] = "list the formats that a model can be converted to"

    @override
    def run(self, args: argparse.Namespace) -> Answer:
        from app.formats import PRESETS

        rows = [
            (preset.name + (" *" if preset.recommended else ""), preset.quality, preset.summary)
            for _, preset in PRESETS.values()
        ]
        text = table(("format", "quality", ""), rows) + "\n\n* the usual choice"
        document = [
            {"format": form.name, "runs_in": form.runs_in, **asdict(preset)}
            for form, preset in PRESETS.values()
        ]
        return Answer(text, document)
