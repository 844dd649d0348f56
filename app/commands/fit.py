"""`nibble fit MODEL`: does it run here, in which format, and how fast.

With --json, one document: "model" (`core.model.ModelFacts`), "machine" (`core.machine.Machine`),
and "fits", a `core.fit.Fit` for each format that the programs of --for load, by its name. A GGUF
file has one more fit, "as it is".
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from app.commands.base import Answer, Command
from app.commands.terminal import positive, table
from app.core import words
from app.core.errors import Unsupported
from app.core.fit import GLYPHS, Fit, FitOptions, FitWord
from app.core.hub import is_hub_id
from app.core.machine import Machine
from app.core.runtime import Runtime

if TYPE_CHECKING:
    from app.models.base import Checkpoint

_USUAL = FitOptions()
_GIB = 1 << 30


class FitCommand(Command):
    """Reads headers and config only, and asks the computer what is free."""

    name: ClassVar[str] = "fit"
    help: ClassVar[str] = "show which formats of a model run on a computer, and how well"

    @override
    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("model", help="a folder, a .gguf file, sample, or org/name on the hub")
        parser.add_argument("--format", default="", help="one format only, such as Q4_K_M")
        parser.add_argument(
            "--for",
            dest="runtime",
            type=Runtime,
            choices=tuple(Runtime),
            help="programs that are to run it: llama.cpp, vllm, transformers or mlx (default: "
            "every format in the first programs that load it)",
        )
        parser.add_argument(
            "--context", type=positive, default=_USUAL.context, help="tokens (default: %(default)s)"
        )
        parser.add_argument(
            "--cache-type",
            default=_USUAL.cache_type,
            help="how keys and values are kept, as in llama.cpp (default: %(default)s)",
        )
        parser.add_argument(
            "--reserve", type=float, default=0.0, help="GB of memory to leave to other programs"
        )
        parser.add_argument(
            "--experts-in-memory", action="store_true", help="keep a mixture's experts off the GPU"
        )
        parser.add_argument(
            "--measure",
            action="store_true",
            help="load the .gguf file in the llama.cpp that is installed here, and correct the "
            "estimates of this computer by what it takes",
        )
        parser.add_argument("--on", default="", help='another computer, such as "RTX 4090 + 64 GB"')

    @override
    def run(self, args: argparse.Namespace) -> Answer:
        from app.advisor import AS_IT_IS, MeasuredFits, fits_of, plans_of
        from app.formats import find_preset
        from app.models.facts import model_facts

        wanted = args.format and find_preset(args.format)[1].name
        checkpoint = _open(args.model)
        options = FitOptions(
            args.context,
            args.cache_type,
            reserve=round(max(0.0, args.reserve) * _GIB),
            experts_in_memory=args.experts_in_memory,
        )
        machine = _machine(args.on)
        measured = None if machine.simulated else MeasuredFits()
        if args.measure:
            _measure(checkpoint, machine, options)
            measured = MeasuredFits()
        plans = plans_of(checkpoint, args.runtime)
        fits = fits_of(checkpoint, machine, options, measured, plans, args.runtime)
        if wanted:
            fits = {name: fit for name, fit in fits.items() if name in {wanted, AS_IT_IS}}
        facts = model_facts(checkpoint)
        document = {
            "model": asdict(facts),
            "machine": machine.to_json(),
            "fits": {name: fit.to_json() for name, fit in fits.items()},
        }
        return Answer(f"{facts.name} on {_describe(machine, options)}\n\n{_text(fits)}", document)


def _open(name: str) -> Checkpoint:
    from app.models import open_model

    if not is_hub_id(name) or Path(name).exists():
        return open_model(name)
    from app.commands.download import named
    from app.hub.client import Client
    from app.hub.details import model
    from app.hub.verdict import verdict

    with Client() as client:
        convertible, checkpoint = verdict(client, model(client, *named(name)), "")
    if checkpoint is None:
        raise Unsupported(f"{name} cannot be sized.", " ".join(convertible.sentences))
    return checkpoint


def _machine(name: str) -> Machine:
    if name:
        from app.devices.known import imagine

        return imagine(name)
    from app.devices import look, measure

    return measure(look(Path.cwd()))


def _measure(checkpoint: Checkpoint, machine: Machine, options: FitOptions) -> None:
    from app.advisor.load import measure_load
    from app.advisor.measured import MeasuredFits
    from app.models.gguf_file import GgufFile

    if not isinstance(checkpoint, GgufFile):
        raise Unsupported(
            "Only a .gguf file can be loaded and measured.", "Convert the model first."
        )
    measure_load(checkpoint, machine, options, MeasuredFits())


def _describe(machine: Machine, options: FitOptions) -> str:
    memory = f"{words.size(machine.memory.free)} of memory free"
    cards = [f"{gpu.name} with {words.size(gpu.free)} free" for gpu in machine.gpus]
    where = machine.simulated or "this computer"
    context = f"context {options.context:,}, cache {options.cache_type}"
    return f"{where} ({', '.join([*cards, memory])}), {context}"


def _text(fits: dict[str, Fit]) -> str:
    head = ("format", "needs", "", "GPU layers", "longest context", "tokens/s", "")
    rows = [_row(name, fit) for name, fit in fits.items()]
    return table(head, rows)


def _row(name: str, fit: Fit) -> tuple[str, ...]:
    word = f"{GLYPHS[fit.word]} {fit.word}"
    if fit.word in {FitWord.UNKNOWN, FitWord.ELSEWHERE}:
        return name, "-", word, "-", "-", "-", fit.reason
    speed = fit.tokens_per_second
    return (
        name,
        f"{words.size(fit.low)} to {words.size(fit.high)}",
        word,
        f"{fit.layers_on_gpu} of {fit.layers}",
        f"{fit.largest_context:,}" if fit.largest_context else "-",
        f"about {speed[0]:.0f} to {speed[1]:.0f}" if speed else "-",
        _remark(fit),
    )


def _remark(fit: Fit) -> str:
    better = fit.word_after_closing
    if better is not fit.word and better in {FitWord.FITS, FitWord.TIGHT}:
        return f"{fit.reason} With other programs closed: {better}.".strip()
    return fit.reason
