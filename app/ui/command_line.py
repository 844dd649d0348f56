"""What the form says, as words of the `quantize` command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from app.core.job import Job
from app.core.recipe import ALL_VALUES, Recipe


def recipe_words(recipe: Recipe, own_method: str = "") -> list[str]:
    """The options that make a recipe out of its preset; the preset's own method needs none."""
    words = ["--pure"] if recipe.pure else []
    words += ["--method", recipe.method] if recipe.method != own_method else []
    for name, value in recipe.options:
        words += ["--set", f"{name}={value}"]
    for pattern, kind in recipe.overrides:
        words += ["--tensor", f"{pattern}={kind}"]
    words += ["--output-type", recipe.output] if recipe.output else []
    words += ["--embedding-type", recipe.embedding] if recipe.embedding else []
    words += ["--leave-output"] if recipe.leave_output else []
    words += ["--imatrix", recipe.importance] if recipe.importance else []
    words += ["--percentile", str(recipe.percentile)] if recipe.percentile != ALL_VALUES else []
    words += ["--split", str(recipe.split_bytes)] if recipe.split_bytes else []
    words += ["--allow-requantize"] if recipe.requantize else []
    for key, value in recipe.metadata:
        words += ["--metadata", f"{key}={value}"]
    return words


def plan_words(model: str, recipe: Recipe) -> list[str]:
    """The question what a recipe would make of a model."""
    question = ["quantize", model, "--format", recipe.preset]
    return [*question, *recipe_words(recipe), "--dry-run", "--json"]


def job_words(job: Job, folder: str, own_methods: Mapping[str, str]) -> list[str]:
    """The command that does the same as a job.

    Args:
        job: The job.
        folder: Where several results go.
        own_methods: The presets' own methods, by preset.
    """
    first = job.outputs[0]
    words = ["nibble", "quantize", job.source, "--format", ",".join(job.presets)]
    words += ["--out", first.target if len(job.outputs) == 1 else folder]
    words += ["--device", job.device] if job.device != "cpu" else []
    words += ["--threads", str(job.threads)] if job.threads else []
    words += [] if job.evaluate else ["--no-evaluate"]
    common = _common(job, own_methods)
    words += recipe_words(common, own_methods.get(common.preset, ""))
    words += ["--calibration", job.calibration] if job.calibration else []
    for name in ("samples", "length", "seed"):
        words += [f"--{name}", str(getattr(job, name))] if getattr(job, name) else []
    return [*words, "--overwrite"] if job.overwrite else words


def _common(job: Job, own_methods: Mapping[str, str]) -> Recipe:
    """What all results have in common: they differ in the preset, and in what suits only some."""
    recipes: Sequence[Recipe] = [output.recipe for output in job.outputs]
    own = own_methods.get
    chosen = (one for one in recipes if one.options or one.method != own(one.preset))
    importance = next(filter(None, (one.importance for one in recipes)), "")
    return replace(next(chosen, recipes[0]), importance=importance)
