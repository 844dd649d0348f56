"""`nibble hardware`: what this computer has."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import ClassVar

from typing_extensions import override

from app.commands.base import Answer, Command
from app.commands.terminal import table
from app.core import words


class Hardware(Command):
    """Shows processor, memory, graphics cards and the disk of the current folder."""

    name: ClassVar[str] = "hardware"
    help: ClassVar[str] = "show this computer's processor, memory, disk and graphics cards"

    @override
    def run(self, args: argparse.Namespace) -> Answer:
        from app.devices import look

        machine = look(Path.cwd())
        cpu = machine.cpu
        cores = (
            f"{cpu.cores} cores, {cpu.threads} threads" if cpu.cores else f"{cpu.threads} threads"
        )
        rows = [("Processor", cpu.name, cores)]
        for kind, spaces in (
            ("Memory", [machine.memory]),
            ("Graphics card", list(machine.gpus)),
            ("Disk", list(machine.disks)),
        ):
            for space in spaces:
                free = f"{words.size(space.free)} of {words.size(space.total)} free"
                rows.append((kind, "" if kind == "Memory" else space.name, free))
        if not machine.gpus:
            rows.append(("Graphics card", "none found", "models run on the processor"))
        return Answer(table(("", "", ""), rows), asdict(machine))
