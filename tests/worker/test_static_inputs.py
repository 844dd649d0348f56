"""Ranges of inputs that results store: of the model that they are, and as much as was asked for."""

import numpy as np
import pytest
import torch
from checkpoints import write_llama
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from app.calibration.text import cut_calibration_windows
from app.core.events import Progress
from app.core.job import Job, Output
from app.core.recipe import Recipe
from app.evaluation.tokenizer import open_tokenizer
from app.models import open_model
from app.models.named_weights import NamedWeights
from app.worker.convert import convert

PRESET = "w8a8-int8-static"
SMOOTHED = Recipe(PRESET, "smoothquant", percentile=99.9)
LOUD = {"input_layernorm": ("q", "k", "v"), "post_attention_layernorm": ("gate", "up")}
"""Norms, and the matrices behind them."""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A model with a few channels that are much larger than the others, as large models have."""
    place = tmp_path_factory.mktemp("source")
    write_llama(place, layers=2, hidden=256, inner=512)
    weights = load_file(place / "model.safetensors")
    for name in [name for name in weights if name.endswith("layernorm.weight")]:
        layer, norm, _ = name.rsplit(".", 2)
        weights[name][::64] *= 64
        for matrix in weights:
            if matrix.startswith(layer) and matrix.endswith(
                tuple(f".{part}_proj.weight" for part in LOUD[norm])
            ):
                weights[matrix][:, ::64] /= 64
    save_file(weights, place / "model.safetensors", metadata={"format": "pt"})
    return place


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    place = tmp_path_factory.mktemp("text") / "text.txt"
    place.write_text(
        "It is a truth universally acknowledged, that a single man wants a wife. " * 99
    )
    return place


def made(source, text, place, *recipes, stop_after=0):
    """The folders of one job, by the recipes' places."""
    targets = [place / f"{number}" for number in range(len(recipes))]
    outputs = tuple(map(Output, map(str, targets), recipes))
    job = Job(
        "j", str(source), outputs, threads=2, evaluate=False,
        calibration=str(text), samples=4, length=64,
    )  # fmt: skip
    if stop_after:
        events = convert(job, place / "job")
        for _ in range(stop_after):
            next(events)
        events.close()
    shares = [one.overall for one in convert(job, place / "job") if isinstance(one, Progress)]
    assert shares == sorted(shares)
    return targets


def inputs_of(folder, source, text):
    """All |x| that each linear layer is given, in a plain model with the weights of `folder`."""
    checkpoint = open_model(source)
    windows = cut_calibration_windows(open_tokenizer(checkpoint), text, chunks=4, length=64).tokens
    model = plain_model(folder, source)
    found = {}
    for name, layer in model.named_modules():
        if isinstance(layer, torch.nn.Linear):

            def see(_, inputs, name=name):
                found.setdefault(name, []).append(inputs[0].abs().flatten().numpy())

            layer.register_forward_pre_hook(see)
    with torch.no_grad():
        for window in windows:
            model(input_ids=window[None])
    return {name: np.concatenate(seen) for name, seen in found.items()}


def plain_model(folder, source):
    weights = NamedWeights(open_model(folder))
    config = AutoConfig.from_pretrained(source)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    model.load_state_dict({name: weights.weight(name) for name in weights.names})
    return model


def scales_of(folder):
    stored = load_file(folder / "model.safetensors")
    ending = ".input_scale"
    return {
        name.removesuffix(ending): value.float()
        for name, value in stored.items()
        if name.endswith(ending)
    }


def predicted(folder, source):
    """What the folder's model predicts, its inputs rounded with the scales that it has."""
    model, scales = plain_model(folder, source), scales_of(folder)
    for name, layer in model.named_modules():
        if name in scales:
            layer.register_forward_pre_hook(
                lambda _, inputs, scale=scales[name]: (
                    (inputs[0] / scale).round().clamp(-128, 127) * scale
                )
            )
    tokens = torch.randint(3, 4000, (2, 64), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return model(input_ids=tokens).logits


@pytest.mark.parametrize(
    ("preset", "method", "top"),
    [(PRESET, "smoothquant", 127), (PRESET, "smoothquant+gptq", 127), ("fp8-static", "awq", 448)],
)
def test_that_ranges_of_a_smoothed_model_are_those_of_its_own_inputs(
    source, text, tmp_path, preset, method, top
):
    (folder,) = made(source, text, tmp_path, Recipe(preset, method))
    before, scales = inputs_of(source, source, text), scales_of(folder)
    assert len(scales) == 2 * 7
    changed = 0
    for name, seen in inputs_of(folder, source, text).items():
        if name in scales:
            # Its weights are rounded, so inputs are not quite those of the smoothed model.
            assert float(scales[name]) * top == pytest.approx(seen.max(), rel=0.05), name
            changed += not 0.8 < seen.max() / before[name].max() < 1.25
    assert changed > 5


def test_that_smoothing_helps_integers_with_one_scale_for_all_inputs(source, text, tmp_path):
    plain, smoothed = made(source, text, tmp_path, Recipe(PRESET), Recipe(PRESET, "smoothquant"))
    wanted = predicted(source, source)
    lost = [float((predicted(one, source) - wanted).norm()) for one in (plain, smoothed)]
    assert lost[1] < 0.5 * lost[0]


@pytest.fixture(scope="module")
def whole(source, text, tmp_path_factory):
    """What was not stopped."""
    (folder,) = made(source, text, tmp_path_factory.mktemp("whole"), SMOOTHED)
    return folder


@pytest.mark.parametrize("stop_after", [12, 34, 56, 66, 100])
def test_that_a_smoothed_job_stopped_anywhere_stores_the_same_ranges(
    source, text, whole, tmp_path, stop_after
):
    expected = whole
    (found,) = made(source, text, tmp_path, SMOOTHED, stop_after=stop_after)
    for path in expected.iterdir():
        assert path.read_bytes() == (found / path.name).read_bytes(), path.name


def test_that_each_result_of_a_job_has_the_share_that_it_asks_for(source, text, tmp_path):
    percentiles = (100.0, 99.9, 99.0)
    recipes = [Recipe(PRESET, percentile=one) for one in percentiles]
    others = Recipe("fp8-static", percentile=99.0), Recipe(PRESET, "gptq", percentile=99.0)
    *folders, eight, chosen = made(source, text, tmp_path, *recipes, *others)
    seen = inputs_of(source, source, text)
    for percentile, folder in zip(percentiles, folders, strict=True):
        for name, scale in scales_of(folder).items():
            expected = np.quantile(seen[name], percentile / 100)
            assert float(scale) * 127 == pytest.approx(expected, rel=0.02), name
    for name, scale in scales_of(eight).items():
        assert float(scale) * 448 == pytest.approx(np.quantile(seen[name], 0.99), rel=0.02), name
    assert scales_of(chosen) == scales_of(folders[2])
    told = "| Ranges of inputs | 99.9 % of all values |"
    assert [told in (one / "README.md").read_text() for one in folders] == [False, True, False]
