"""What the commands have in common that write a small file for use with a model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from app.commands.base import Answer
from app.commands.terminal import outcome
from app.core import words

if TYPE_CHECKING:
    from app.formats.gguf.companion import Companion


def add_companion_options(parser: argparse.ArgumentParser) -> None:
    """Declare what is the same for all of them."""
    parser.add_argument("--out", type=Path, help="file or folder to write to (default: here)")
    parser.add_argument(
        "--format",
        default="F16",
        type=str.upper,
        choices=("F32", "F16", "BF16", "Q8_0"),
        help="how numbers are stored (default: F16)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")


def write(
    conversion: Companion, args: argparse.Namespace, name: str, sources: list[Path]
) -> Answer:
    """Make the file, called `name` unless `--out` says otherwise, and say what it is."""
    from app.worker.companion import write_companion

    out: Path = Path.cwd() if args.out is None else args.out
    target = (out / name if out.is_dir() else out).absolute()
    if target.suffix.lower() != ".gguf":
        target = target.with_name(f"{target.name}.gguf")
    events = write_companion(conversion, args.format, target, sources, overwrite=args.overwrite)
    plan = outcome(events)
    lines = [f"{target} ({words.size(plan.total_bytes)}, {len(plan.tensors)} tensors)"]
    lines += [f"note: {note}" for note in plan.notes]
    document = {
        "path": str(target),
        "bytes": plan.total_bytes,
        "tensors": len(plan.tensors),
        "notes": list(plan.notes),
    }
    return Answer("\n".join(lines), document)
