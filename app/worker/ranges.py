"""The stage before quantizing, where a format rounds inputs with scales that it stores.

Kept in the job's folder: a job that goes on writes the same numbers.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path

from app.calibration.engine import collect, in_words
from app.calibration.moments import Gather
from app.core.events import Note, Progress
from app.core.files import write_atomic
from app.core.retelling import retold
from app.formats.base import Ranges
from app.worker.shown import show, shown_facts
from app.worker.work import Work


def find_ranges(work: Work, folder: Path) -> Generator[Progress | Note]:
    """Tell the conversions how large the inputs of matrices get, where their plans ask.

    Args:
        work: The job.
        folder: The job's.

    Raises:
        AppError: The model or its text cannot be read or run.
    """
    asking = [result for result in work.results if result.plan.ranges]
    if not asking:
        return
    kept = folder / "ranges.json"
    facts = json.dumps([work.source_state, work.job.adapters, shown_facts(work.job)])
    ranges = _read(kept, facts)
    if ranges is None:
        ranges = yield from _seen(work)
        write_atomic(kept, json.dumps({"of": facts, "ranges": ranges}).encode())
    for result in asking:
        result.conversion.learn(ranges)


def _seen(work: Work) -> Generator[Progress | Note, None, Ranges]:
    """Show the model a text."""
    result = next(result for result in work.results if result.plan.ranges)
    shown = yield from show(work.job, work.source, result.plan)
    gather = Gather(frozenset({"absmax"}))
    passing = collect(shown.source, shown.windows, gather, shown.place)
    found = yield from retold(passing, in_words)
    stored = shown.source.description.stored
    return {
        stored.get(name, name): {
            matrix: float(absmax.amax())
            for matrix, statistic in found.of(name)
            if (absmax := gather.statistics(statistic).absmax) is not None
        }
        for name in found.names()
    }


def _read(kept: Path, facts: str) -> Ranges | None:
    """What an earlier run has found."""
    try:
        content = json.loads(kept.read_bytes())
        if content["of"] != facts:
            return None
        return {
            name: {int(matrix): value for matrix, value in of.items()}
            for name, of in content["ranges"].items()
        }
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
