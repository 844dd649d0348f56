"""`nibble probe`: what PyTorch can use here, tried out.

The window asks this in a process of its own: a broken driver can end the process that
loads PyTorch, and then says so by its end.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import ClassVar

from typing_extensions import override

from app.commands.base import Answer, Command
from app.commands.terminal import table


class Probe(Command):
    """Loads PyTorch and computes something on every device; JSON is `pytorch.Examined`."""

    name: ClassVar[str] = "probe"
    help: ClassVar[str] = "try which devices PyTorch can compute on"

    @override
    def run(self, args: argparse.Namespace) -> Answer:
        from app.devices.pytorch import examine

        found = examine()
        version = f"PyTorch {found.version}".strip() if found.version else "No PyTorch"
        rows = [
            (row.device, row.name, "works" if row.works else row.problem) for row in found.devices
        ]
        lines = [version, *([table(("", "", ""), rows)] if rows else []), *found.problems]
        return Answer("\n".join(lines), asdict(found))
