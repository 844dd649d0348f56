"""Models of the hub that are quantized: judged by their headers."""

import json

import pytest
import torch
from hub_parts import sample_files
from local_hub import Repo
from safetensors.torch import load, save

from app.core.hub import Convertibility
from app.core.recipe import Recipe
from app.formats import FORMATS
from app.hub.details import model
from app.hub.verdict import verdict
from app.models import open_model

WEIGHTS = "model.safetensors"


def repo(settings, parts):
    """The sample with each matrix of its first layer replaced by `parts(name, weight)`."""
    files = dict(sample_files())
    stored = {}
    for name, weight in load(files[WEIGHTS]).items():
        chosen = weight.ndim == 2 and ".layers.0." in name
        stored |= parts(name, weight.float()) if chosen else {name: weight}
    files[WEIGHTS] = save(stored)
    config = json.loads(files["config.json"])
    files["config.json"] = json.dumps({**config, "quantization_config": settings}).encode()
    return Repo("org/q", files)


def in_fp8(name, weight):
    return {name: weight.to(torch.float8_e4m3fn), f"{name}_scale": torch.ones(())}


def in_int8(name, weight):
    stem = name.removesuffix(".weight")
    return {name: weight.to(torch.int8), f"{stem}.SCB": torch.ones(len(weight))}


def in_nf4(name, weight):
    rows, columns = weight.shape
    state = json.dumps({"blocksize": 64, "shape": [rows, columns]}).encode()
    return {
        name: torch.zeros(weight.numel() // 2, 1, dtype=torch.uint8),
        f"{name}.absmax": torch.ones(weight.numel() // 64),
        f"{name}.quant_map": torch.zeros(16),
        f"{name}.quant_state.bitsandbytes__nf4": torch.tensor([*state], dtype=torch.uint8),
    }


def test_that_a_model_published_in_fp8_can_be_converted(hub, client):
    hub.repos["org/q"] = repo({"quant_method": "fp8"}, in_fp8)
    found, remote = verdict(client, model(client, "org/q"))
    assert found.word is Convertibility.YES
    assert found.sentences == ("The model was published in FP8; nothing is lost by reading it.",)
    recipe = Recipe("Q4_K_M")
    plan = FORMATS["gguf"].prepare(remote).plan(recipe)
    sample = FORMATS["gguf"].prepare(open_model("sample")).plan(recipe)
    assert [tensor.nbytes for tensor in plan.tensors] == [one.nbytes for one in sample.tensors]


def test_that_a_model_that_lost_accuracy_can_be_converted_with_limits(hub, client):
    hub.repos["org/q"] = repo({"quant_method": "bitsandbytes", "load_in_8bit": True}, in_int8)
    found, _ = verdict(client, model(client, "org/q"))
    assert found.word is Convertibility.LIMITS
    assert "stays lost" in found.sentences[0]


def test_that_shapes_among_the_weights_have_to_be_downloaded_first(hub, client):
    hub.repos["org/q"] = repo({"quant_method": "bitsandbytes", "load_in_4bit": True}, in_nf4)
    found, _ = verdict(client, model(client, "org/q"))
    assert found.word is Convertibility.LIMITS
    assert "after the download" in found.sentences[0]


@pytest.mark.parametrize("method", ["aqlm", "quark"])
def test_that_an_unknown_way_of_quantizing_is_named(method, hub, client):
    hub.repos["org/q"] = repo({"quant_method": method}, in_int8)
    found, remote = verdict(client, model(client, "org/q"))
    assert found.word is Convertibility.NO
    assert method in found.sentences[0]
    assert remote is not None
