"""`nibble mmproj MODEL`: the part of a model that sees becomes a file for llama.cpp."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import ClassVar

from typing_extensions import override

from app.commands.base import Answer, Command
from app.commands.companion import add_companion_options, write
from app.core.names import safe_name


class Mmproj(Command):
    """Converts the part for pictures; the part that writes is converted by `quantize`."""

    name: ClassVar[str] = "mmproj"
    help: ClassVar[str] = "convert the part of a model that sees, for use beside its GGUF file"

    @override
    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("model", type=Path, help="a folder with .safetensors files")
        add_companion_options(parser)

    @override
    def run(self, args: argparse.Namespace) -> Answer:
        from app.formats.gguf.mmproj import vision_conversion
        from app.models import open_model
        from app.models.facts import model_facts

        checkpoint = open_model(args.model)
        conversion = vision_conversion(checkpoint)
        name = f"mmproj-{safe_name(model_facts(checkpoint).name)}-{args.format}.gguf"
        return write(conversion, args, name, list(checkpoint.files))
