"""Ranges of inputs, where a format rounds them with scales that it stores.

They are found before quantizing; where weights are smoothed, which changes what they are multiplied
with, of the smoothed model, behind that. Kept in the job's folder: a job that goes on writes the
same numbers.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

from app.calibration.collectors import Collector
from app.calibration.engine import collect, in_words
from app.calibration.magnitudes import Magnitudes, range_of
from app.calibration.moments import AbsMax
from app.core.events import Note, Progress
from app.core.files import write_atomic
from app.core.recipe import ALL_VALUES
from app.core.retelling import retold
from app.formats.base import Ranges
from app.models.named_weights import NamedWeights
from app.worker.shown import Shown, show, shown_facts
from app.worker.work import Result, Work


def find_ranges(work: Work, folder: Path) -> Generator[Progress | Note]:
    """Tell the conversions how large the inputs of matrices get, where their plans ask.

    Args:
        work: The job.
        folder: The job's.

    Raises:
        AppError: The model or its text cannot be read or run.
    """
    asking = [one for one in work.results if one.plan.ranges and not one.smooths_ranges]
    if not asking:
        return
    percentiles = sorted({one.output.recipe.percentile for one in asking})
    facts = [work.source_state, work.job.adapters, shown_facts(work.job), percentiles]
    path, key = folder / "ranges.json", json.dumps(facts)
    if not all(recall_ranges(one, path, key) for one in asking):
        shown = yield from show(work.job, work.source, asking[0].plan)
        yield from learn_ranges(asking, shown.source, shown, path, key)


def learn_ranges(
    asking: Sequence[Result], source: NamedWeights, shown: Shown, path: Path, key: str
) -> Generator[Progress]:
    """Show a text to a model, tell the conversions what it saw, and keep that.

    Args:
        asking: The results.
        source: The weights of the model.
        shown: The text, and where to compute.
        path: Where the ranges are kept.
        key: Says of what they are.

    Raises:
        AppError: The model cannot be run.
    """
    percentiles = {one.output.recipe.percentile for one in asking}
    everything = percentiles == {ALL_VALUES}
    collector: Collector = AbsMax() if everything else Magnitudes()
    passing = collect(source, shown.windows, collector, shown.place)
    found = yield from retold(passing, in_words)
    stored = source.description.stored
    ranges = {
        str(percentile): {
            stored.get(name, name): {
                matrix: float(seen.value.amax()) if everything else range_of(seen.value, percentile)
                for matrix, seen in found.of(name)
            }
            for name in found.names()
        }
        for percentile in percentiles
    }
    write_atomic(path, json.dumps({"of": key, "ranges": ranges}).encode())
    for one in asking:
        one.conversion.learn(ranges[str(one.output.recipe.percentile)])


def recall_ranges(result: Result, path: Path, key: str) -> bool:
    """Tell a conversion what an earlier run has found; False where there is nothing."""
    try:
        content = json.loads(path.read_bytes())
        if content["of"] != key:
            return False
        ranges = _read(content["ranges"][str(result.output.recipe.percentile)])
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False
    result.conversion.learn(ranges)
    return True


def _read(kept: Mapping[str, Mapping[str, float]]) -> Ranges:
    """JSON has text where matrices are numbered."""
    return {
        name: {int(matrix): value for matrix, value in values.items()}
        for name, values in kept.items()
    }
