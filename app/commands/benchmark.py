"""`nibble benchmark`: how fast this computer quantizes."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from app.commands.base import Answer, Command
from app.commands.terminal import ProgressLine, positive, table
from app.core.events import Progress

if TYPE_CHECKING:
    from app.evaluation.speed import Pace, Speed

NOTE = """\
Millions of weights a second on one thread, and how many times as fast as ggml that is.
"weighed": with an importance matrix."""


class Benchmark(Command):
    """Times each encoding on one thread, in turns with real ggml where it is installed."""

    name: ClassVar[str] = "benchmark"
    help: ClassVar[str] = "measure how many weights a second this computer quantizes"

    @override
    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "encodings",
            nargs="*",
            type=_with_kernels,
            metavar="ENCODING",
            help="which to measure, as in Q4_K; all of them if none is named",
        )
        parser.add_argument(
            "--threads",
            type=positive,
            default=1,
            metavar="N",
            help="also measure how much sooner N threads are done",
        )

    @override
    def run(self, args: argparse.Namespace) -> Answer:
        from app.evaluation.speed import WITH_KERNELS, measure

        names = args.encodings or WITH_KERNELS
        line = ProgressLine()
        speeds: list[Speed] = []
        for speed in measure(names, threads=args.threads):
            speeds.append(speed)
            done, total = len(speeds), len(names)
            line.show(Progress("measure", done, total, speed.encoding, done / total))
        line.clear()
        more = (f"{args.threads} threads",) if args.threads > 1 else ()
        head = ("encoding", "plain", "ggml", "ratio", "weighed", "ggml", "ratio", "decodes", *more)
        text = table(head, [_row(speed) for speed in speeds])
        return Answer(f"{text}\n\n{NOTE}", [asdict(speed) for speed in speeds])


def _with_kernels(text: str) -> str:
    """An argument that is the name of an encoding with kernels, in letters of any case.

    Raises:
        ArgumentTypeError: It is none.
    """
    from app.evaluation.speed import WITH_KERNELS

    if text.upper() not in WITH_KERNELS:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(WITH_KERNELS)}")
    return text.upper()


def _row(speed: Speed) -> tuple[str, ...]:
    scaling = () if speed.scaling is None else (f"{speed.scaling:.2f} x",)
    paces = (*_cells(speed.plain), *_cells(speed.weighed))
    return speed.encoding, *paces, _millions(speed.decode), *scaling


def _cells(pace: Pace) -> tuple[str, str, str]:
    if pace.ggml is None or pace.ratio is None:
        return _millions(pace.ours), "not installed", ""
    return _millions(pace.ours), _millions(pace.ggml), f"{pace.ratio:.1f} x"


def _millions(rate: float) -> str:
    return f"{rate / 1e6:.0f}" if rate >= 1e7 else f"{rate / 1e6:.1f}"
