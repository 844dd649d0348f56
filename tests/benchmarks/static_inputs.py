"""Tell what is lost where inputs are rounded with scales that are stored, by what these hold.

    python tests/benchmarks/static_inputs.py [MODEL ...]

Models: sample, smollm2, outliers (SmolLM2 with outlier channels). Takes ten minutes each.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parents[1])]
# Set before any library looks: waiting threads would be counted as busy ones.
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

import judge
import torch
from losses import Reference, standard_error
from rival_models import outlying, rounding_inputs
from safetensors import safe_open
from torch import Tensor

from app.core.job import Job, Output
from app.core.places import sample_model
from app.core.recipe import Recipe
from app.models.named_weights import NamedWeights
from app.models.open import open_model
from app.models.skeleton import Skeleton
from app.worker.convert import convert

SCORED, SCORED_SAMPLE = 4096, 8704
"""Tokens that the judge reads; half of them are scored."""
SAMPLES, LENGTH = 16, 512
PERCENTILES = (100.0, 99.999, 99.99, 99.9)
INTEGERS, FLOATS, DYNAMIC = "w8a8-int8-static", "fp8-static", "w8a8-int8"
RECIPES = (
    Recipe(DYNAMIC),
    *(Recipe(INTEGERS, percentile=one) for one in PERCENTILES),
    *(Recipe(FLOATS, percentile=one) for one in PERCENTILES),
    *(Recipe(INTEGERS, "smoothquant", percentile=one) for one in PERCENTILES),
)
MODELS: Mapping[str, Callable[[], Path]] = {
    "sample": sample_model,
    "smollm2": judge.folder,
    "outliers": lambda: outlying(judge.folder()),
}


def as_integers(inputs: Tensor, scale: Tensor) -> Tensor:
    return (inputs / scale).round().clamp(-128, 127) * scale


def as_floats(inputs: Tensor, scale: Tensor) -> Tensor:
    return (inputs / scale).clamp(-448, 448).to(torch.float8_e4m3fn).float() * scale


@contextmanager
def rounding_with(skeleton: Skeleton, folder: Path) -> Iterator[None]:
    """While entered, matrices are multiplied with inputs that the folder's scales round."""
    rounded = as_floats if folder.name.startswith(FLOATS) else as_integers
    scales = {}
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            names = [name for name in file.keys() if name.endswith(".input_scale")]  # noqa: SIM118
            scales |= {name: file.get_tensor(name).float() for name in names}
    hooks = [
        module.register_forward_pre_hook(
            lambda _, inputs, scale=scales[f"{name}.input_scale"]: (rounded(inputs[0], scale),)
        )
        for name, module in skeleton.model.named_modules()
        if f"{name}.input_scale" in scales
    ]
    assert hooks
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def judged(name: str, place: Path) -> Iterator[str]:
    """A line for each recipe."""
    source = MODELS[name]()
    targets = [place / f"{one.preset}-{number}" for number, one in enumerate(RECIPES)]
    outputs = tuple(Output(str(to), one) for to, one in zip(targets, RECIPES, strict=True))
    job = Job("static", str(source), outputs, evaluate=False, samples=SAMPLES, length=LENGTH)
    for _ in convert(job, place / "job"):
        pass
    reference = Reference(source, SCORED_SAMPLE if name == "sample" else SCORED)
    for recipe, folder in zip(RECIPES, targets, strict=True):
        skeleton = reference.skeleton
        dynamic = recipe.preset == DYNAMIC
        with rounding_inputs(skeleton) if dynamic else rounding_with(skeleton, folder):
            scores = reference.scores_of(NamedWeights(open_model(folder)))
        yield (
            f"{name:9} {recipe.preset:17} {recipe.method:12} {recipe.percentile:8g} "
            f"KL {scores.kl.mean():.5f} +- {standard_error(scores.kl):.5f}, "
            f"same top {scores.same_top.mean():.2%}"
        )


def main() -> None:
    for name in sys.argv[1:] or MODELS:
        with tempfile.TemporaryDirectory() as place:
            for line in judged(name, Path(place)):
                sys.stdout.write(f"{line}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
