"""transformers loads the folders, and computes with the weights that Nibble reads from them.

What needs another library to be loaded (GPTQ, AWQ, MLX; bitsandbytes and FP8, which want
accelerate) is asked in tests/runtimes, where those libraries have environments of their own.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import write_llama
from family_models import FAMILY_MODELS
from safetensors.torch import load_file
from tiny_models import random_model
from torch import Tensor

from app.calibration.text import cut_calibration_windows
from app.core.job import Job, Output
from app.core.recipe import Recipe
from app.evaluation.tokenizer import open_tokenizer
from app.models import open_model
from app.models.named_weights import NamedWeights
from app.worker.convert import convert

USUAL = ("w4a16-g128", "w8a8-int8", "nvfp4a16", "f16-folder")
OTHERS = (
    "bf16-folder", "w4a16-g64", "w4a16-g32", "w4a16-asym-g128", "w8a16", "w8a16-g128", "fp8",
    "fp8-block-ct", "mxfp4a16", "mxfp8a16",
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


def ranges(source: Path, windows: Tensor) -> dict[str, float]:
    """The largest |x| that each linear layer of the plain model is given."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32).eval()
    found: dict[str, float] = {}
    for name, layer in model.named_modules():
        if isinstance(layer, torch.nn.Linear):

            def see(_: Any, inputs: tuple[Tensor], name: str = name) -> None:
                found[name] = max(found.get(name, 0.0), float(inputs[0].abs().max()))

            layer.register_forward_pre_hook(see)
    with torch.no_grad():
        for window in windows:
            model(input_ids=window[None])
    return found


def logits(model: Any) -> Tensor:
    with torch.no_grad():
        found: Tensor = model(input_ids=TOKENS).logits.float()
    return found


def off(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


def plain_model(folders: Path, preset: str) -> Any:
    """A plain model with the weights that Nibble reads."""
    from transformers import AutoConfig, AutoModelForCausalLM

    weights = NamedWeights(open_model(folders / preset))
    config = AutoConfig.from_pretrained(folders / "source")
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    model.load_state_dict({name: weights.weight(name) for name in weights.names})
    return model


def expected_of(folders: Path, preset: str) -> Tensor:
    """What such a model predicts."""
    return logits(plain_model(folders, preset))


def loaded(folder: Path, dtype: torch.dtype, config: Any = None) -> Any:
    """The model that transformers makes of a folder; `config` says how to read what is there."""
    from transformers import AutoModelForCausalLM

    more = {} if config is None else {"quantization_config": config}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, report = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, output_loading_info=True, **more
        )
        assert not any(report.values()), report
        tokens = model.generate(TOKENS[:1, :4], max_new_tokens=3, do_sample=False)
        assert tokens.shape == (1, 7)
        return model.eval()


def assert_same(folders: Path, preset: str) -> None:
    from transformers import CompressedTensorsConfig

    in_halves, decompressed = preset in IN_HALVES, preset in DECOMPRESSED
    dtype = torch.bfloat16 if in_halves else torch.float32
    config = CompressedTensorsConfig(dequantize=True) if decompressed else None
    found = logits(loaded(folders / preset, dtype, config))
    error = off(found, expected_of(folders, preset))
    assert error < (ROUNDED if in_halves else DEQUANTIZED if decompressed else EXACT)


def test_that_transformers_computes_with_the_same_weights(folders: Path, tmp_path: Path) -> None:
    make(folders, USUAL, tmp_path)
    for preset in USUAL:
        assert_same(folders, preset)


def test_that_transformers_reads_the_experts_of_gpt_oss(tmp_path: Path) -> None:
    from transformers import Mxfp4Config

    random_model(tmp_path / "source", **{**FAMILY_MODELS["gpt-oss"], "num_hidden_layers": 2})
    make(tmp_path, ("gpt-oss-mxfp4",), tmp_path / "job")
    config = Mxfp4Config(dequantize=True)
    found = logits(loaded(tmp_path / "gpt-oss-mxfp4", torch.float32, config))
    assert off(found, expected_of(tmp_path, "gpt-oss-mxfp4")) < EXACT


@pytest.fixture(scope="module")
def windows(folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Tensor:
    """The text that formats with rounded inputs were made with in one job, beside the source."""
    place = tmp_path_factory.mktemp("text")
    text = place / "text.txt"
    text.write_text("It is a truth universally acknowledged, that a single man wants a wife. " * 99)
    presets = ("fp8-static", "w8a8-int8-static", "nvfp4-w4a4")
    outputs = tuple(Output(str(folders / one), Recipe(one)) for one in presets)
    job = Job(
        "j", str(folders / "source"), outputs, evaluate=False,
        calibration=str(text), samples=3, length=64,
    )  # fmt: skip
    list(convert(job, place / "job"))
    tokenizer = open_tokenizer(open_model(folders / "source"))
    return cut_calibration_windows(tokenizer, text, chunks=3, length=64).tokens


def test_that_scales_of_inputs_are_those_of_the_text(folders: Path, windows: Tensor) -> None:
    assert windows.shape == (3, 64)
    largest = ranges(folders / "source", windows)
    static = load_file(folders / "fp8-static" / "model.safetensors")
    whole = load_file(folders / "w8a8-int8-static" / "model.safetensors")
    groups = load_file(folders / "nvfp4-w4a4" / "model.safetensors")
    names = [name.removesuffix(".input_scale") for name in static if name.endswith(".input_scale")]
    assert len(names) == 2 * 7
    for name in names:
        assert float(static[f"{name}.input_scale"]) == pytest.approx(largest[name] / 448, rel=4e-3)
        assert whole[f"{name}.input_scale"].shape == (1,)
        assert whole[f"{name}.input_scale"].dtype == torch.bfloat16
        assert float(whole[f"{name}.input_scale"]) == pytest.approx(largest[name] / 127, rel=4e-3)
        expected = 448 * 6 / largest[name]
        assert float(groups[f"{name}.input_global_scale"]) == pytest.approx(expected, rel=1e-4)
    # The loader rounds inputs with these scales: wrong ones would leave nothing of the model.
    found = logits(loaded(folders / "fp8-static", torch.float32))
    assert off(found, expected_of(folders, "fp8-static")) < 0.2


def test_that_transformers_rounds_inputs_to_integers_with_our_scales(
    folders: Path, windows: Tensor
) -> None:
    folder = folders / "w8a8-int8-static"
    stored = load_file(folder / "model.safetensors")
    wanted, exact = (plain_model(folders, "w8a8-int8-static") for _ in range(2))
    for name, layer in wanted.named_modules():
        if f"{name}.input_scale" in stored:
            scale = stored[f"{name}.input_scale"].float()

            def see(_: Any, inputs: tuple[Tensor], scale: Tensor = scale) -> Tensor:
                return (inputs[0] / scale).round().clamp(-128, 127) * scale

            layer.register_forward_pre_hook(see)
    found = logits(loaded(folder, torch.float32))
    assert off(found, logits(wanted)) < EXACT
    assert off(found, logits(exact)) > DEQUANTIZED


def in_four_bits(inputs: Tensor, scale: Tensor) -> Tensor:
    """What is left of inputs as 4-bit floats in groups of 16, `scale` over that of the group."""
    levels = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])
    groups = inputs.unflatten(-1, (-1, 16))
    step = (groups.abs().amax(-1, keepdim=True) / 6 * scale).to(torch.float8_e4m3fn).float() / scale
    nearest = ((groups / step).abs().unsqueeze(-1) - levels).abs().argmin(-1)
    return (levels[nearest] * step).copysign(groups).flatten(-2)


def test_that_transformers_rounds_inputs_to_four_bits_with_our_scales(
    folders: Path, windows: Tensor
) -> None:
    folder = folders / "nvfp4-w4a4"
    # Its weights are unpacked since it has generated; transformers' own float() refuses that.
    found = torch.nn.Module.float(loaded(folder, torch.bfloat16))
    wanted, exact = (plain_model(folders, "nvfp4-w4a4") for _ in range(2))
    stored = load_file(folder / "model.safetensors")
    for name, layer in wanted.named_modules():
        if f"{name}.input_global_scale" in stored:
            unpacked = found.get_submodule(name).weight.data
            assert off(unpacked, layer.weight.data) < DEQUANTIZED
            layer.weight.data = unpacked  # so that only inputs are rounded differently
            scale = stored[f"{name}.input_global_scale"]

            def see(_: Any, inputs: tuple[Tensor], scale: Tensor = scale) -> Tensor:
                return in_four_bits(inputs[0], scale)

            layer.register_forward_pre_hook(see)
    assert off(logits(found), logits(wanted)) < DEQUANTIZED
    assert off(logits(wanted), logits(exact)) > 5 * DEQUANTIZED


@pytest.mark.slow
@pytest.mark.parametrize("preset", OTHERS)
def test_that_transformers_computes_with_the_weights_of_the_others(
    folders: Path, tmp_path: Path, preset: str
) -> None:
    make(folders, (preset,), tmp_path)
    assert_same(folders, preset)
