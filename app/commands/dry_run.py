"""What a conversion would make, from the headers of the model alone."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.commands.base import Answer
from app.commands.terminal import table
from app.core import words
from app.core.hub import is_hub_id
from app.core.plan import Plan, PlannedTensor
from app.core.recipe import AUTOMATIC, Recipe

if TYPE_CHECKING:
    from app.models.base import Checkpoint


def dry_run(model: str, recipe: Recipe) -> Answer:
    """Plan the conversion of `model` and write nothing.

    Raises:
        AppError: The model cannot be read, or the recipe not be applied to it.
    """
    from app.calibration.treatment import Treatment
    from app.formats import find_preset

    form, _ = find_preset(recipe.preset)
    checkpoint = _open(model)
    plan = form.prepare(checkpoint).plan(recipe)
    treatment = Treatment.of(recipe.method, recipe.options)
    plan = replace(plan, notes=(*plan.notes, *treatment.notes(plan.tensors)))
    before = _Before(
        checkpoint.nbytes, recipe.importance == AUTOMATIC, recipe.method * bool(treatment.needs)
    )
    return Answer(_text(plan, before), _document(plan, before))


@dataclass(frozen=True, slots=True)
class _Before:
    """What comes before the result."""

    nbytes: int
    """Of the source."""
    computes_importance: bool
    method: str
    """That sees the model at work; "" for none."""


def _open(model: str) -> Checkpoint:
    from app.models import open_model

    if not is_hub_id(model) or Path(model).exists():
        return open_model(Path(model))
    from app.commands.download import named
    from app.hub.client import Client
    from app.hub.details import model as details_of
    from app.hub.remote import open_remote

    with Client() as client:
        return open_remote(client, details_of(client, *named(model)))


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
