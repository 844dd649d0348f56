"""Everything that can be made of one model, sized exactly, without reading a weight."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from app.calibration.offered import describe_methods, methods_for
from app.core.errors import AppError
from app.core.model import Fallback, FormatChoice, Inspection, Problem
from app.core.plan import Plan, PlannedTensor
from app.core.quality import MeasuredLoss, measured_losses
from app.encodings import ENCODINGS
from app.encodings.base import Block
from app.formats import FORMATS
from app.formats.base import Conversion, Format, Preset, plan_preset
from app.models import open_model
from app.models.base import Checkpoint
from app.models.facts import model_facts


def inspect_model(path: Path) -> Inspection:
    """Look at a model's headers, config and tokenizer, and plan every preset.

    Raises:
        AppError: `path` is no model that can be read.
    """
    return inspect_checkpoint(open_model(path))


def inspect_checkpoint(checkpoint: Checkpoint) -> Inspection:
    """Plan every preset for a checkpoint; its weights may still be on the hub."""
    choices: list[FormatChoice] = []
    losses = measured_losses()
    for form in FORMATS.values():
        prepared: Conversion | Problem
        try:
            prepared = form.prepare(checkpoint)
        except AppError as error:
            prepared = Problem(error.title, error.hint)
        choices += [
            _with_loss(_choice(form, preset, prepared), losses.get(preset.name))
            for preset in form.presets
        ]
    methods = describe_methods(name for choice in choices for name in choice.methods)
    return Inspection(model_facts(checkpoint), tuple(choices), _types(), methods)


def _with_loss(choice: FormatChoice, loss: MeasuredLoss | None) -> FormatChoice:
    if loss is None:
        return choice
    return replace(choice, loss=loss.usual, loss_with_importance=loss.with_importance)


def _types() -> tuple[str, ...]:
    blocks = [found for found in ENCODINGS.values() if isinstance(found, Block)]
    return tuple(block.name for block in sorted(blocks, key=lambda block: -block.bits))


def _choice(form: Format, preset: Preset, prepared: Conversion | Problem) -> FormatChoice:
    plan: Plan | None = None
    recipe = preset.recipe()
    problem = prepared if isinstance(prepared, Problem) else None
    if isinstance(prepared, Conversion):
        try:
            recipe, plan = plan_preset(prepared, preset)
        except AppError as error:
            problem = Problem(error.title, error.hint)
    return FormatChoice(
        preset=preset.name,
        format=form.name,
        runs_in=form.programs(preset),
        extension=form.extension,
        summary=preset.summary,
        quality=preset.quality,
        recommended=preset.recommended,
        nbytes=plan.total_bytes if plan else 0,
        bits_per_weight=plan.bits_per_weight if plan else 0.0,
        fallbacks=tuple(_fallback(tensor) for tensor in plan.fallbacks) if plan else (),
        notes=plan.notes if plan else (),
        problem=problem,
        group=preset.group,
        importance_helps=preset.importance_helps,
        needs_importance=preset.needs_importance,
        requantize=recipe.requantize,
        featured=preset.featured,
        runtimes=tuple(form.runtimes(preset)),
        method=preset.method,
        is_shown_text=bool(plan and plan.ranges),
        methods=methods_for(plan, rounds_inputs=preset.rounds_inputs) if plan else (),
    )


def _fallback(tensor: PlannedTensor) -> Fallback:
    """What the tensor would take if its rows divided, against what it takes."""
    wanted = ENCODINGS[tensor.wanted]
    bits = getattr(wanted, "bits", 0.0)
    return Fallback(
        tensor.name,
        tensor.wanted,
        tensor.encoding,
        round(tensor.nbytes - tensor.weights * bits / 8),
    )
