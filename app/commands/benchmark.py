"""`nibble benchmark`: how fast this computer quantizes."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from app.commands.base import Answer, Command
from app.commands.terminal import ProgressLine, table
from app.core.events import Progress

if TYPE_CHECKING:
    from app.evaluation.speed import Speed


class Benchmark(Command):
    """Times each encoding on one thread, in turns with real ggml where it is installed."""

    name: ClassVar[str] = "benchmark"
    help: ClassVar[str] = "measure how many weights a second this computer quantizes"

    @override
    def run(self, args: argparse.Namespace) -> Answer:
        from app.evaluation.speed import WITH_KERNELS, measure

        line = ProgressLine()
        speeds: list[Speed] = []
        for speed in measure():
            speeds.append(speed)
            done, total = len(speeds), len(WITH_KERNELS)
            line.show(Progress("measure", done, total, speed.encoding, done / total))
        line.clear()
        head = ("encoding", "encodes", "decodes", "ggml", "ratio")
        text = table(head, [_row(speed) for speed in speeds])
        note = "Millions of weights a second, on one thread."
        return Answer(f"{text}\n\n{note}", [asdict(speed) for speed in speeds])


def _row(speed: Speed) -> tuple[str, ...]:
    ggml = f"{speed.ggml / 1e6:.0f}" if speed.ggml else "not installed"
    ratio = f"{speed.ratio:.1f} x" if speed.ratio else ""
    return speed.encoding, f"{speed.encode / 1e6:.0f}", f"{speed.decode / 1e6:.0f}", ggml, ratio
