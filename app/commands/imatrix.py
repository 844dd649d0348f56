"""`nibble imatrix MODEL`: which columns of a model's weights matter, by what they multiply."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from app.commands.base import Answer, Command
from app.commands.terminal import outcome, positive, table
from app.core import words
from app.core.errors import Unsupported

if TYPE_CHECKING:
    from app.formats.gguf.imatrix import ImportanceMatrix
    from app.formats.gguf.imatrix_statistics import TensorStatistics


class Imatrix(Command):
    """Computes an importance matrix, or shows one."""

    name: ClassVar[str] = "imatrix"
    help: ClassVar[str] = "compute or show an importance matrix"

    @override
    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "model",
            nargs="?",
            help="a model: a folder, a .gguf file, or: sample; or a matrix to show (.gguf, .dat)",
        )
        texts = parser.add_mutually_exclusive_group()
        texts.add_argument("--text", type=Path, help="text to read (default: the one shipped)")
        texts.add_argument("--chat", type=Path, help="chats to read: .jsonl, one a line")
        parser.add_argument(
            "--chunks", type=positive, default=64, help="windows of 512 tokens (default: 64)"
        )
        parser.add_argument("--out", type=Path, help="file to write (default: here, by its name)")
        parser.add_argument("--device", default="cpu", help="cpu, cuda:0, mps (default: cpu)")
        parser.add_argument("--fresh", action="store_true", help="compute it again")
        parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
        parser.add_argument(
            "--clear", action="store_true", help="forget all matrices that were kept for later"
        )

    @override
    def run(self, args: argparse.Namespace) -> Answer:
        from app.calibration.cache import ImportanceCache
        from app.formats.gguf.imatrix import is_imatrix, read_imatrix

        freed = ImportanceCache().clear() if args.clear else 0
        if args.model is None:
            if not args.clear:
                raise Unsupported("No model was given.", "Give a model, or a matrix to show.")
            return Answer(f"{words.size(freed)} freed.", {"freed_bytes": freed})
        path = Path(args.model)
        if path.is_file() and is_imatrix(path):
            return _answer(path, read_imatrix(path))
        return _compute(args)


def _compute(args: argparse.Namespace) -> Answer:
    from app.calibration.importance import ImportanceOptions, importance_of
    from app.models import open_model
    from app.models.facts import model_facts
    from app.worker.device import place_on

    if args.chat and args.chat.suffix.lower() != ".jsonl":
        raise Unsupported(
            f"{args.chat.name} is no file of chats.", "Chats are read from .jsonl, one a line."
        )
    checkpoint = open_model(Path(args.model))
    out: Path = args.out or Path.cwd() / f"{model_facts(checkpoint).name}.imatrix.gguf"
    if out.exists() and not args.overwrite:
        raise Unsupported(
            f"There is a file called {out.name} already.",
            "Choose another name with --out, or allow it to be replaced with --overwrite.",
        )
    options = ImportanceOptions(args.text or args.chat, args.chunks, args.fresh)
    matrix = outcome(importance_of(checkpoint, options, place_on(args.device)))
    matrix.save(out)
    return _answer(out, matrix)


def _answer(path: Path, matrix: ImportanceMatrix) -> Answer:
    from app.formats.gguf.imatrix_statistics import statistics

    rows = statistics(matrix)
    document = {
        "path": str(path),
        "datasets": matrix.datasets,
        "chunks": matrix.chunks,
        "chunk_size": matrix.chunk_size,
        "tensors": [asdict(row) for row in rows],
    }
    source = f"{matrix.chunks} x {matrix.chunk_size} tokens of {', '.join(matrix.datasets) or '?'}"
    lines = [str(path), f"{len(rows)} tensors, {source}", "", table(_HEAD, [_row(r) for r in rows])]
    return Answer("\n".join(lines), document)


_HEAD = (
    "tensor",
    "sum",
    "smallest",
    "largest",
    "mean",
    "deviation",
    "active",
    "evenness",
    "top 1 %",
    "top columns",
    "experts",
)


def _row(found: TensorStatistics) -> tuple[str, ...]:
    numbers = (found.total, found.smallest, found.largest, found.mean, found.deviation)
    shares = (found.active, found.evenness, found.top_share)
    return (
        found.name,
        *(f"{number:.4g}" for number in numbers),
        *(words.percent(share) for share in shares),
        " ".join(map(str, found.top_columns)),
        f"{found.reached} of {found.matrices}" if found.matrices > 1 else "",
    )
