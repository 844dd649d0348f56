"""Writes a small GGUF file that goes with a model: complete, read back, and only then in place."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path

from app.calibration.treatment import Treatment
from app.core.errors import Unsupported
from app.core.events import Event
from app.core.partial import PartialFile
from app.core.plan import Plan
from app.core.recipe import Recipe
from app.evaluation.tensor_error import measure_tensors
from app.formats.base import Conversion
from app.methods.nearest import Nearest
from app.models.gguf_file import GgufFile
from app.models.source_file import SourceFile
from app.worker.encoder import Encoder
from app.worker.pipeline import Filling, Pipeline
from app.worker.work import available_threads


def write_companion(
    conversion: Conversion,
    form: str,
    target: Path,
    sources: Sequence[Path],
    *,
    overwrite: bool = False,
) -> Generator[Event, None, Plan]:
    """Write `target`.

    Args:
        conversion: What goes into it.
        form: Its format, "F16" for example.
        target: The file.
        sources: The files that it is made from.
        overwrite: Whether it may replace another.

    Raises:
        AppError: It cannot be done; what was written stays for another try.
    """
    plan = conversion.plan(Recipe(form))
    if target.exists() and not overwrite:
        raise Unsupported(
            f"There is a file called {target.name} already.",
            "Choose another name with --out, or allow it to be replaced with --overwrite.",
        )
    seen = [SourceFile.look(path) for path in sources]
    fingerprint = hashlib.sha256(repr((seen, plan)).encode() + plan.header).hexdigest()
    threads = available_threads()
    partial = PartialFile(target, plan.total_bytes, fingerprint)
    with closing(partial):
        partial.open()
        filling = Filling(0, conversion, plan, Treatment.of(Nearest.name), None, [partial])
        yield from Pipeline([filling], Encoder("cpu"), threads).run()
        yield from measure_tensors(conversion, plan, GgufFile(partial.path), threads)
        partial.commit()
    return plan
