"""What a conversion would make and take, from the headers of the model alone."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from app.commands.base import Answer
from app.commands.needs import needs_text, planned
from app.commands.terminal import table
from app.core import words
from app.core.job import Job
from app.core.plan import Plan, PlannedTensor
from app.core.recipe import AUTOMATIC, Recipe


def dry_run(job: Job) -> Answer:
    """Plan a job and write nothing.

    Several results are a list, "results", in the document of the job.

    Raises:
        AppError: The model or its text cannot be read, a recipe not be applied to it, or there is
            no such device.
    """
    from app.worker.device import check_device
    from app.worker.forecast import forecast

    check_device(job.device)
    source, plans = planned(job)
    needs = forecast(job, source, plans)
    before = (_Before.of(output.recipe, source.nbytes) for output in job.outputs)
    results = list(zip(plans, before, strict=True))
    documents = [_document(*result) for result in results]
    together = documents[0] if len(documents) == 1 else {"results": documents}
    texts = [*(_text(*result) for result in results), needs_text(needs)]
    return Answer("\n\n".join(texts), {**together, "needs": asdict(needs)})


@dataclass(frozen=True, slots=True)
class _Before:
    """What comes before the result."""

    nbytes: int
    """Of the source."""
    computes_importance: bool
    method: str
    """That sees the model at work; "" for none."""

    @classmethod
    def of(cls, recipe: Recipe, nbytes: int) -> _Before:
        from app.calibration.treatment import Treatment

        needs = Treatment.of(recipe.method, recipe.options).needs
        return cls(nbytes, recipe.importance == AUTOMATIC, recipe.method * bool(needs))


def _text(plan: Plan, before: _Before) -> str:
    share = words.percent(plan.total_bytes / max(1, before.nbytes))
    after = f"{words.size(plan.total_bytes)} ({share})"
    bits = f"{plan.bits_per_weight:.2f} bits a weight"
    lines = [f"{words.size(before.nbytes)} -> {after}, {bits}", ""]
    head = ("tensors", "number", "type", "size", "")
    lines.append(table(head, [_row(group) for group in _groups(plan)]))
    if len(plan.files) > 1:
        files = ", ".join(f"{file.name} {words.size(file.nbytes)}".strip() for file in plan.files)
        lines += ["", f"{'a folder of ' * plan.is_folder}{len(plan.files)} files: {files}"]
    if before.computes_importance:
        lines += ["", "note: an importance matrix is computed first."]
    if before.method:
        lines += ["", f"note: {before.method} sees the model at work, a layer at a time."]
    return "\n".join([*lines, *(f"note: {note}" for note in plan.notes)])


def _groups(plan: Plan) -> list[list[PlannedTensor]]:
    """Tensors that differ in their layer only, in the order of the file."""
    groups: dict[tuple[str, ...], list[PlannedTensor]] = {}
    for tensor in plan.tensors:
        kind = _any_layer(tensor.name)
        groups.setdefault((kind, tensor.encoding, tensor.wanted), []).append(tensor)
    return list(groups.values())


def _any_layer(name: str) -> str:
    return re.sub(r"(?<=\.)\d+(?=\.)", "*", name)


def _row(group: list[PlannedTensor]) -> tuple[str, ...]:
    first = group[0]
    why = f"instead of {first.wanted}" if first.wanted else ""
    nbytes = sum(tensor.nbytes for tensor in group)
    return _any_layer(first.name), str(len(group)), first.encoding, words.size(nbytes), why


def _document(plan: Plan, before: _Before) -> dict[str, Any]:
    return {
        "preset": plan.preset,
        "bytes_before": before.nbytes,
        "bytes_after": plan.total_bytes,
        "weights": plan.weights,
        "bits_per_weight": plan.bits_per_weight,
        "calibrates": before.computes_importance or bool(before.method),
        "files": [
            {"suffix": file.suffix, "name": file.name, "bytes": file.nbytes} for file in plan.files
        ],
        "tensors": [asdict(tensor) for tensor in plan.tensors],
        "notes": plan.notes,
    }
