"""transformers loads the folders, and computes with the weights that Nibble reads from them.

What needs another library to be loaded (GPTQ, AWQ, bitsandbytes, FP8 blocks, MLX) is asked in
tests/runtimes, where those libraries have environments of their own.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import write_llama
from torch import Tensor

from app.core.job import Job, Output
from app.core.recipe import Recipe
from app.models import open_model
from app.models.named_weights import NamedWeights
from app.worker.convert import convert

USUAL = ("w4a16-g128", "w8a8-int8", "nvfp4a16", "f16-folder")
OTHERS = (
    "bf16-folder", "w4a16-g32", "w4a16-asym-g128", "w8a16", "w8a16-g128", "fp8", "fp8-block-ct",
    "mxfp4a16", "mxfp8a16",
)  # fmt: skip
TOKENS = torch.randint(3, 4000, (2, 24), generator=torch.Generator().manual_seed(1))
EXACT, DEQUANTIZED, ROUNDED = 1e-6, 1e-2, 4e-2
"""Relative errors: the same numbers; scales that the loader rounds to 16 bits; all in 16 bits."""
#: Formats that only run in 16 bits here, and those whose inputs would be rounded, too.
IN_HALVES = ("nvfp4a16", "mxfp4a16", "mxfp8a16")
DECOMPRESSED = ("w8a8-int8", "fp8", "fp8-block-ct", "w4a16-asym-g128")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place with a source in it."""
    place = tmp_path_factory.mktemp("folders")
    write_llama(place / "source", layers=2, hidden=256, inner=512)
    return place


def make(folders: Path, presets: tuple[str, ...], tmp_path: Path) -> None:
    outputs = tuple(
        Output(str(folders / name), Recipe(name, split_bytes=2_000_000)) for name in presets
    )
    job = Job("j", str(folders / "source"), outputs, threads=2, evaluate=False, overwrite=True)
    list(convert(job, tmp_path))


def logits(model: Any) -> Tensor:
    with torch.no_grad():
        found: Tensor = model(input_ids=TOKENS).logits.float()
    return found


def expected(folder: Path, source: Path) -> Tensor:
    """What a plain model computes with the weights that Nibble reads."""
    from transformers import AutoConfig, AutoModelForCausalLM

    weights = NamedWeights(open_model(folder))
    config = AutoConfig.from_pretrained(source)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    model.load_state_dict({name: weights.weight(name) for name in weights.names})
    return logits(model)


def loaded(folder: Path, dtype: torch.dtype, *, dequantize: bool) -> Tensor:
    from transformers import AutoModelForCausalLM, CompressedTensorsConfig

    more = {"quantization_config": CompressedTensorsConfig(dequantize=True)} if dequantize else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, report = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, output_loading_info=True, **more
        )
        assert not any(report.values()), report
        tokens = model.generate(TOKENS[:1, :4], max_new_tokens=3, do_sample=False)
        assert tokens.shape == (1, 7)
        return logits(model.eval())


def assert_same(folders: Path, preset: str) -> None:
    in_halves, decompressed = preset in IN_HALVES, preset in DECOMPRESSED
    dtype = torch.bfloat16 if in_halves else torch.float32
    found = loaded(folders / preset, dtype, dequantize=decompressed)
    wanted = expected(folders / preset, folders / "source")
    error = float((found - wanted).norm() / wanted.norm())
    assert error < (ROUNDED if in_halves else DEQUANTIZED if decompressed else EXACT)


def test_that_transformers_computes_with_the_same_weights(folders: Path, tmp_path: Path) -> None:
    make(folders, USUAL, tmp_path)
    for preset in USUAL:
        assert_same(folders, preset)


@pytest.mark.slow
@pytest.mark.parametrize("preset", OTHERS)
def test_that_transformers_computes_with_the_weights_of_the_others(
    folders: Path, tmp_path: Path, preset: str
) -> None:
    make(folders, (preset,), tmp_path)
    assert_same(folders, preset)
