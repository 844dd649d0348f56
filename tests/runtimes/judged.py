"""Folders made by jobs, what runtimes say of them, and what they should say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from environment import Environment
from numpy.typing import NDArray
from random_models import drain

from app.core.events import Finished
from app.core.job import Job, Output
from app.core.recipe import Recipe
from app.models.layerwise import Place, run_layers
from app.models.named_weights import NamedWeights
from app.models.open import open_model
from app.models.skeleton import Skeleton
from app.worker.convert import convert

LOGITS = "logits.npy"
"""Where scripts leave them; see `scripts/asked.py`."""
TOKENS = torch.randint(3, 4000, (2, 48), generator=torch.Generator().manual_seed(5))
MORE = 5
"""Tokens that are generated."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a runtime made of one folder."""

    logits: NDArray[np.float32]
    generated: list[int]
    modules: list[str]
    """Names of the classes that the model is made of."""


def make(source: Path, recipes: dict[str, Recipe], folder: Path) -> dict[str, Path]:
    """Results of one job, by the names of their recipes."""
    targets = {name: folder / name for name in recipes}
    outputs = tuple(Output(str(targets[name]), recipe) for name, recipe in recipes.items())
    job = Job("runtimes", str(source), outputs, threads=2, evaluate=False)
    assert isinstance(list(convert(job, folder / "job"))[-1], Finished)
    return targets


def ask(
    environment: Environment, script: str, folders: dict[str, Path], dtype: str
) -> dict[str, Answer | str]:
    """What a runtime answers by the folders' names; the text of its error where it fails."""
    found = environment.run(
        script,
        timeout=1800,
        folders=[str(folder) for folder in folders.values()],
        tokens=TOKENS.tolist(),
        more=MORE,
        dtype=dtype,
    )
    answers: dict[str, Answer | str] = {}
    for name, folder in folders.items():
        said = found[str(folder)]
        answers[name] = said.get("error") or Answer(np.load(folder / LOGITS), **said)
    return answers


def expected(result: Path) -> NDArray[np.float32]:
    """What the weights that a folder stands for predict, in float32."""
    weights = NamedWeights(open_model(result))
    skeleton = Skeleton(weights.config, max_layers=len(weights.names))
    _, (states,) = drain(run_layers(skeleton, [weights], TOKENS, Place()))
    head = skeleton.head_weights(weights)
    found: NDArray[np.float32] = torch.stack([skeleton.logits(head, one) for one in states]).numpy()
    return found


def apart(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """||found - expected|| / ||expected||."""
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
