"""What a conversion would make, from the headers of the model alone."""

from __future__ import annotations

import re
from dataclasses import asdict
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
    from app.formats import find_preset

    form, _ = find_preset(recipe.preset)
    checkpoint = _open(model)
    plan = form.prepare(checkpoint).plan(recipe)
    first = recipe.importance == AUTOMATIC
    return Answer(_text(plan, checkpoint.nbytes, first), _document(plan, checkpoint.nbytes, first))


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


def _text(plan: Plan, before: int, calibrates: bool) -> str:
    after = f"{words.size(plan.total_bytes)} ({words.percent(plan.total_bytes / max(1, before))})"
    bits = f"{plan.bits_per_weight:.2f} bits a weight"
    lines = [f"{words.size(before)} -> {after}, {bits}", ""]
    head = ("tensors", "number", "type", "size", "")
    lines.append(table(head, [_row(group) for group in _groups(plan)]))
    if len(plan.files) > 1:
        sizes = ", ".join(words.size(file.nbytes) for file in plan.files)
        lines += ["", f"{len(plan.files)} files: {sizes}"]
    if calibrates:
        lines += ["", "note: an importance matrix is computed first."]
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


def _document(plan: Plan, before: int, calibrates: bool) -> dict[str, Any]:
    return {
        "preset": plan.preset,
        "bytes_before": before,
        "bytes_after": plan.total_bytes,
        "weights": plan.weights,
        "bits_per_weight": plan.bits_per_weight,
        "calibrates": calibrates,
        "files": [{"suffix": file.suffix, "bytes": file.nbytes} for file in plan.files],
        "tensors": [asdict(tensor) for tensor in plan.tensors],
        "notes": plan.notes,
    }
