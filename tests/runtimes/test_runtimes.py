"""Folders are loaded by the runtimes that they were made for, and mean there what they mean here.

Each runtime has an environment of its own; see `install.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from environment import Environment
from judged import MORE, Answer, Expected, apart, ask, make
from tiny_models import random_model

from app.core.recipe import Recipe
from app.formats import FORMATS

pytestmark = [pytest.mark.runtimes, pytest.mark.timeout(3600)]

PRESETS = [preset.name for preset in FORMATS["safetensors"].presets]
GPTQ = tuple(name for name in PRESETS if name.startswith("gptq-"))
AWQ = tuple(name for name in PRESETS if name.startswith("awq-"))
MLX = tuple(name for name in PRESETS if name.startswith("mlx-"))
HQQ = tuple(name for name in PRESETS if name.startswith("hqq-"))


@dataclass(frozen=True, slots=True)
class Reader:
    """A runtime and what it loads."""

    environment: str
    script: str
    presets: tuple[str, ...]
    layer: str
    """Part of the name of the class that quantized layers have become."""
    dtype: str = "float32"
    """What it computes in."""
    tolerance: float = 2e-3
    """How far logits may be apart, relative; some kernels round what they multiply to 16 bits."""


READERS = {
    # Its layers refuse float32.
    "GPTQModel": Reader(
        "gptqmodel", "run_gptqmodel", (*GPTQ, *AWQ), "TorchLinear", "float16", 1e-2
    ),
    "transformers": Reader("gptqmodel", "run_transformers", (*GPTQ, *AWQ), "Torch"),
    "hqq": Reader("hqq", "run_hqq", HQQ, "HQQLinear"),
    "mlx-lm": Reader("mlx", "run_mlx", MLX, "QuantizedLinear"),
}


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    random_model(folder, model_type="llama")
    return folder


@pytest.fixture(scope="session")
def expected(source: Path) -> Expected:
    return Expected(source)


@pytest.fixture(scope="session")
def results(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One folder for each preset, and one whose codes GPTQ has chosen."""
    recipes = {name: Recipe(name) for name in (*GPTQ, *AWQ, *MLX, *HQQ)}
    return make(source, recipes, tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="session")
def answers(results: dict[str, Path]) -> Any:
    """What a reader says of all its presets; each is asked once."""
    known: dict[str, dict[str, Answer | str]] = {}

    def of(name: str, preset: str) -> Answer | str:
        reader = READERS[name]
        environment = Environment(reader.environment)
        if environment.missing:
            pytest.skip(environment.missing)
        if name not in known:
            folders = {preset: results[preset] for preset in reader.presets}
            known[name] = ask(environment, reader.script, folders, reader.dtype)
        return known[name][preset]

    return of


@pytest.mark.parametrize(
    ("name", "preset"),
    [(name, preset) for name, reader in READERS.items() for preset in reader.presets],
)
def test_that_a_runtime_computes_with_the_weights_that_we_read(
    name: str, preset: str, answers: Any, expected: Expected, results: dict[str, Path]
) -> None:
    found, reader = answers(name, preset), READERS[name]
    assert isinstance(found, Answer), found
    assert any(reader.layer in module for module in found.modules)
    logits = expected.logits(results[preset])
    assert apart(found.logits, logits) < reader.tolerance
    assert len(found.generated) == MORE
    first = logits[0, -1]
    assert first.max() - first[found.generated[0]] < 5 * reader.tolerance * first.std()
