"""`nibble split FILE --size 2G`: one GGUF file becomes several."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from app.commands.base import Answer, Command
from app.commands.terminal import ProgressLine, byte_count
from app.core import words

if TYPE_CHECKING:
    from app.formats.gguf.split import Copy


class Split(Command):
    """Copies the tensors; nothing is quantized, and the source stays."""

    name: ClassVar[str] = "split"
    help: ClassVar[str] = "cut a GGUF file into parts, which programs open by the first"

    @override
    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="a .gguf file, or any part of one")
        parser.add_argument(
            "--size", type=byte_count, required=True, help="largest size of a part: 2G, 500M"
        )
        parser.add_argument(
            "--out", type=Path, help="model.gguf for model-00001-of-... (default: by the file)"
        )

    @override
    def run(self, args: argparse.Namespace) -> Answer:
        from app.formats.gguf.split import split

        return written(split(args.file, target_of(args.out, args.file), args.size))


def target_of(out: Path | None, source: Path) -> Path:
    """The whole model's file, as `--out` names it: a file, a folder, or nothing."""
    from app.formats.gguf.split import whole_name

    usual = whole_name(source)
    target = usual if out is None else out
    if target.is_dir():
        target /= usual.name
    if target.suffix.lower() != ".gguf":  # programs find the parts of a model by their names
        target = target.with_name(f"{target.name}.gguf")
    return target.absolute()


def written(copy: Copy) -> Answer:
    """Make the files, and name them."""
    line = ProgressLine()
    try:
        for progress in copy.run():
            line.show(progress)
    finally:
        line.clear()
    files = [
        {"path": str(path), "bytes": file.nbytes}
        for path, file in zip(copy.paths, copy.files, strict=True)
    ]
    rows = [
        f"{path} ({words.size(file.nbytes)})"
        for path, file in zip(copy.paths, copy.files, strict=True)
    ]
    return Answer("\n".join(rows), {"files": files})
