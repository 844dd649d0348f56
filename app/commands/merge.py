"""`nibble merge MODEL-00001-of-00003.gguf`: the parts of a model become one GGUF file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import ClassVar

from typing_extensions import override

from app.commands.base import Answer, Command
from app.commands.split import target_of, written


class Merge(Command):
    """Copies the tensors; the parts stay."""

    name: ClassVar[str] = "merge"
    help: ClassVar[str] = "join the parts of a GGUF file to one"

    @override
    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("part", type=Path, help="any part; the others lie beside it")
        parser.add_argument("--out", type=Path, help="file to write (default: by the part's name)")

    @override
    def run(self, args: argparse.Namespace) -> Answer:
        from app.formats.gguf.split import join

        return written(join(args.part, target_of(args.out, args.part)))
