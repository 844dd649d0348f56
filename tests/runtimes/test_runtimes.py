"""Folders are loaded by the runtimes that they were made for, and mean there what they mean here.

Each runtime has an environment of its own; see `install.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from environment import Environment
from family_models import FAMILY_MODELS
from judged import MORE, Answer, apart, ask, expected, make
from tiny_models import random_model

from app.core.recipe import Recipe
from app.formats import FORMATS

pytestmark = [pytest.mark.runtimes, pytest.mark.timeout(3600)]

PRESETS = [preset.name for preset in FORMATS["safetensors"].presets]
GPTQ = tuple(name for name in PRESETS if name.startswith("gptq-"))
AWQ = tuple(name for name in PRESETS if name.startswith("awq-"))
MLX = tuple(name for name in PRESETS if name.startswith("mlx-"))
HQQ = tuple(name for name in PRESETS if name.startswith("hqq-"))
BNB = tuple(name for name in PRESETS if name.startswith("bnb-"))
FP8 = ("fp8-block", "fp8-block-e5m2")

EXACT = 1e-6
"""Relative error of the same numbers."""


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
    # It rounds what it multiplies to 16 bits, and for LLM.int8() to 8.
    "bitsandbytes": Reader("transformers", "run_transformers", BNB, "bit", "bfloat16", 0.1),
    "transformers, unpacked": Reader(
        "transformers", "unpack_with_transformers", (*BNB, *FP8), "Linear", tolerance=EXACT
    ),
    "transformers on a card": Reader(
        "transformers", "load_as_on_a_card", ("fp8-block",), "FP8Linear", tolerance=EXACT
    ),
    "transformers on a card, E5M2": Reader(
        "transformers", "load_as_on_a_card", ("fp8-block-e5m2",), "Linear", tolerance=EXACT
    ),
    "transformers and FBGEMM": Reader(
        "transformers", "load_as_on_a_card", ("fbgemm-fp8",), "FbgemmFp8Linear", tolerance=EXACT
    ),
    "hqq": Reader("hqq", "run_hqq", HQQ, "HQQLinear"),
    "mlx-lm": Reader("mlx", "run_mlx", MLX, "QuantizedLinear"),
}


#: Models besides the plain one: with biases, one matrix for several, and experts.
FAMILIES = ("qwen2", "phi 3", "qwen3 moe")
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "llama"},
    "qwen2": {"model_type": "qwen2"},
    **FAMILY_MODELS,
}
CHOSEN = ("gptq-4bit-g128", "awq-4bit-g128", "mlx-4bit")
"""What is also made with GPTQ."""
OTHERS = (*CHOSEN, "bnb-nf4-dq", "fp8-block", "fbgemm-fp8")
"""What is asked of those."""


@dataclass(frozen=True, slots=True)
class Case:
    """One folder, and who loads it."""

    reader: str
    family: str
    preset: str
    method: str = "nearest"

    @property
    def folder(self) -> str:
        """Name of the folder."""
        return f"{self.family}, {self.preset}, {self.method}"

    def __str__(self) -> str:
        return f"{self.reader}: {self.folder}"


def cases() -> list[Case]:
    """All presets of the plain model, a few of the others, and numbers that GPTQ has chosen."""
    found = []
    for name, reader in READERS.items():
        found += [Case(name, "llama", preset) for preset in reader.presets]
        few = [preset for preset in OTHERS if preset in reader.presets]
        found += [Case(name, family, preset) for family in FAMILIES for preset in few]
        found += [Case(name, "llama", preset, "gptq") for preset in few if preset in CHOSEN]
    return found


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folders by their names; one job for each family and method."""
    found: dict[str, Path] = {}
    base = tmp_path_factory.mktemp("results")
    kinds = {(case.family, case.method) for case in cases()}
    for family, method in sorted(kinds):
        source = base / family
        if not source.exists():
            random_model(source, **CONFIGS[family])
        wanted = {
            case.folder: Recipe(case.preset, case.method)
            for case in cases()
            if (case.family, case.method) == (family, method)
        }
        found |= make(source, wanted, base)
    return found


@pytest.fixture(scope="session")
def answers(results: dict[str, Path]) -> Any:
    """What a reader says of all its folders; each is asked once."""
    known: dict[str, dict[str, Answer | str]] = {}

    def of(case: Case) -> Answer | str:
        reader = READERS[case.reader]
        environment = Environment(reader.environment)
        if environment.missing:
            pytest.skip(environment.missing)
        if case.reader not in known:
            own = {one.folder for one in cases() if one.reader == case.reader}
            folders = {name: results[name] for name in sorted(own)}
            known[case.reader] = ask(environment, reader.script, folders, reader.dtype)
        return known[case.reader][case.folder]

    return of


#: Folders that a reader does not understand, though others do; all of it fails, or is nonsense.
MISREAD = {
    ("GPTQModel", "phi 3"): "GPTQModel 7.7 looks for gate_up_proj in two parts",
    ("transformers", "qwen3 moe"): "transformers 5.23 leaves quantized experts out",
}


def marked(case: Case) -> Any:
    reason = MISREAD.get((case.reader, case.family))
    marks = [pytest.mark.xfail(reason=reason, strict=True)] if reason else []
    return pytest.param(case, id=str(case), marks=marks)


@pytest.mark.parametrize("case", [marked(case) for case in cases()])
def test_that_a_runtime_computes_with_the_weights_that_we_read(
    case: Case, answers: Any, results: dict[str, Path]
) -> None:
    found, reader = answers(case), READERS[case.reader]
    assert isinstance(found, Answer), found
    assert any(reader.layer in module for module in found.modules)
    logits = expected(results[case.folder])
    assert apart(found.logits, logits) < reader.tolerance
    assert len(found.generated) == MORE
    first = logits[0, -1]
    assert first.max() - first[found.generated[0]] < 5 * reader.tolerance * first.std()
