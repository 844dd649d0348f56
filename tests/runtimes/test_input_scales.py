"""Scales of inputs are those that LLM Compressor finds with the same text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from checkpoints import write_llama
from environment import Environment
from safetensors.torch import load_file

from app.calibration.text import cut_calibration_windows
from app.core.job import Job, Output
from app.core.recipe import Recipe
from app.evaluation.tokenizer import open_tokenizer
from app.models.open import open_model
from app.worker.convert import convert

pytestmark = [pytest.mark.runtimes, pytest.mark.timeout(3600)]

SAMPLES, LENGTH = 4, 64
#: The largest inputs become 127.5 there.
CASES = [("w8a8-int8-static", "W8A8", 127.5 / 127), ("fp8-static", "FP8", 1.0)]


@pytest.mark.parametrize(("preset", "scheme", "ratio"), CASES)
def test_that_scales_are_those_of_llm_compressor(
    preset: str, scheme: str, ratio: float, tmp_path: Path
) -> None:
    runtime = Environment("llmcompressor")
    if runtime.missing:
        pytest.skip(runtime.missing)
    source, text = tmp_path / "source", tmp_path / "text.txt"
    write_llama(source, layers=2, hidden=256, inner=512)
    text.write_text("It is a truth universally acknowledged, that a single man wants a wife. " * 99)
    job = Job(
        "j",
        str(source),
        (Output(str(tmp_path / "ours"), Recipe(preset)),),
        evaluate=False,
        calibration=str(text),
        samples=SAMPLES,
        length=LENGTH,
    )
    list(convert(job, tmp_path / "job"))
    tokenizer = open_tokenizer(open_model(source))
    windows = cut_calibration_windows(tokenizer, text, chunks=SAMPLES, length=LENGTH).tokens
    np.save(tmp_path / "tokens.npy", windows.numpy())
    runtime.run(
        "quantize_with_llmcompressor",
        timeout=1800,
        folder=str(source),
        tokens=str(tmp_path / "tokens.npy"),
        target=str(tmp_path / "theirs"),
        threads=2,
        method="nearest",
        scheme=scheme,
        static=True,
    )
    ours, theirs = (
        load_file(tmp_path / place / "model.safetensors") for place in ("ours", "theirs")
    )
    assert ours.keys() == theirs.keys()
    names = [name for name in theirs if name.endswith(".input_scale")]
    assert len(names) == 2 * 7
    for name in names:
        assert ours[name].shape == theirs[name].shape
        # Inputs are those of a quantized model there, of the source here; and 16 bits a scale.
        assert float(ours[name]) == pytest.approx(float(theirs[name]) * ratio, rel=0.03), name
