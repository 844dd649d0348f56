"""What the form says, as words of the `quantize` command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from app.core.job import Job
from app.core.recipe import Recipe

_USUAL_METHOD = "nearest"
"""That every preset has where nothing else is said."""


def recipe_words(recipe: Recipe) -> list[str]:
    """The options that make a recipe out of its preset."""
    words = ["--pure"] if recipe.pure else []
    words += ["--method", recipe.method] if recipe.method != _USUAL_METHOD else []
    for name, value in recipe.options:
        words += ["--set", f"{name}={value}"]
    for pattern, kind in recipe.overrides:
        words += ["--tensor", f"{pattern}={kind}"]
    words += ["--output-type", recipe.output] if recipe.output else []
    words += ["--embedding-type", recipe.embedding] if recipe.embedding else []
    words += ["--leave-output"] if recipe.leave_output else []
    words += ["--imatrix", recipe.importance] if recipe.importance else []
    words += ["--split", str(recipe.split_bytes)] if recipe.split_bytes else []
    words += ["--allow-requantize"] if recipe.requantize else []
    for key, value in recipe.metadata:
        words += ["--metadata", f"{key}={value}"]
    return words


def plan_words(model: str, recipe: Recipe) -> list[str]:
    """The question what a recipe would make of a model."""
    question = ["quantize", model, "--format", recipe.preset]
    return [*question, *recipe_words(recipe), "--dry-run", "--json"]


def job_words(job: Job, folder: str) -> list[str]:
    """The command that does the same as a job; `folder` is where several results go."""
    first = job.outputs[0]
    words = ["nibble", "quantize", job.source, "--format", ",".join(job.presets)]
    words += ["--out", first.target if len(job.outputs) == 1 else folder]
    words += ["--device", job.device] if job.device != "cpu" else []
    words += ["--threads", str(job.threads)] if job.threads else []
    words += [] if job.evaluate else ["--no-evaluate"]
    words += recipe_words(_common(job))
    words += ["--calibration", job.calibration] if job.calibration else []
    for name in ("samples", "length", "seed"):
        words += [f"--{name}", str(getattr(job, name))] if getattr(job, name) else []
    return [*words, "--overwrite"] if job.overwrite else words


def _common(job: Job) -> Recipe:
    """What all results have in common: they differ in the preset, and in what suits only some."""
    recipes: Sequence[Recipe] = [output.recipe for output in job.outputs]
    first = next((recipe for recipe in recipes if recipe.method != _USUAL_METHOD), recipes[0])
    return replace(first, importance=next(filter(None, (one.importance for one in recipes)), ""))
