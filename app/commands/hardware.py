"""`nibble hardware`: what this computer has, or what another one would have."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from app.commands.base import Answer, Command
from app.commands.terminal import table
from app.core import words
from app.core.machine import Gpu, Machine, Space

if TYPE_CHECKING:
    from app.devices.speedups import Speedup


class Hardware(Command):
    """Shows processor, memory, graphics cards and disks; JSON is `Machine.to_json`."""

    name: ClassVar[str] = "hardware"
    help: ClassVar[str] = "show this computer's processor, memory, disks and graphics cards"

    @override
    def configure(self, parser: argparse.ArgumentParser) -> None:
        which = parser.add_mutually_exclusive_group()
        which.add_argument(
            "--on", metavar="HARDWARE", help='another computer: "RTX 4090", "M3 Max 64 GB", "16 GB"'
        )
        which.add_argument(
            "--measure", action="store_true", help="also measure how fast the memory is read"
        )
        parser.add_argument(
            "--diagnostics", action="store_true", help="print a text for a report of a fault"
        )

    @override
    def run(self, args: argparse.Namespace) -> Answer:
        from app.devices import look, measure
        from app.devices.diagnostics import diagnostics
        from app.devices.known import imagine
        from app.devices.speedups import speedups

        machine = imagine(args.on) if args.on else look(Path.cwd())
        if args.measure:
            machine = measure(machine)
        text = diagnostics(machine) if args.diagnostics else _text(machine, speedups(machine))
        return Answer(text, machine.to_json())


def _text(machine: Machine, fast: tuple[Speedup, ...]) -> str:
    parts = [table(("", "", ""), list(_rows(machine)))]
    marks = [(row.name, "yes" if row.helps else "no", row.device, row.reason) for row in fast]
    parts.append(table(("faster with", "", "on", ""), marks))
    if machine.problems:
        parts.append("\n".join(f"! {problem}" for problem in machine.problems))
    return "\n\n".join(parts)


def _rows(machine: Machine) -> Iterator[tuple[str, str, str]]:
    cpu = machine.cpu
    if machine.simulated:
        yield "Imagined", machine.simulated, ""
    cores = [f"{cpu.cores} cores"] if cpu.cores else []
    yield "Processor", cpu.name, ", ".join([*cores, f"{cpu.threads} threads", *cpu.features])
    speed = f", read at {words.size(cpu.bandwidth)}/s" if cpu.bandwidth else ""
    yield "Memory", "", _free(machine.memory) + speed
    for gpu in machine.gpus:
        yield "Graphics card", gpu.name, _about(gpu)
    if not machine.gpus:
        yield "Graphics card", "none found", "models run on the processor"
    for disk in machine.disks:
        yield "Disk", disk.name, f"{words.size(disk.free)} of {words.size(disk.total)} free"


def _about(gpu: Gpu) -> str:
    parts = [_free(Space(gpu.name, gpu.total, gpu.free))]
    parts += ["the computer's own memory"] if gpu.shared else []
    parts += [f"{words.size(gpu.bandwidth)}/s"] if gpu.bandwidth else []
    return ", ".join(parts)


def _free(space: Space) -> str:
    return f"{words.memory(space.free)} of {words.memory(space.total)} free"
