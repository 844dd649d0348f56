"""Weights scaled against each other leave the model as it is, whatever its family."""

import pytest
import torch
from checkpoint_models import random_family
from random_models import drain
from tiny_models import copy_tokenizer
from transformers import AutoModelForCausalLM

from app.calibration.engine import Pass
from app.calibration.moments import Gather
from app.calibration.smoothing import Smoother, _Group
from app.encodings import find_encoding
from app.methods.base import Smoothing, Statistics
from app.models import open_model
from app.models.folded import Folded
from app.models.layerwise import Place
from app.models.named_weights import NamedWeights

pytestmark = pytest.mark.usefixtures("one_thread")

#: What is folded in a layer, by what makes the inputs: all of it where nothing is in the way.
NORMS, VALUES, UP = 2, 1, 1
FAMILIES = {
    "llama": NORMS + VALUES + UP,
    "qwen2": NORMS + VALUES + UP,  # biases of q, k and v
    "qwen3": NORMS + VALUES + UP,  # norms of q and k in between
    "gemma2": NORMS + VALUES + UP,  # norms that multiply with 1 + w, and more of them
    "olmo2": VALUES + UP,  # norms behind, not in front: q and k and v see the residual stream
    "phi3": NORMS + VALUES + UP,  # fused q, k and v, and fused gate and up
    "glm4": NORMS + VALUES + UP,  # fused gate and up, norms in front and behind
    "qwen3_moe": 1 + VALUES,  # routed experts share a norm with their router
}


class Anything(Smoothing):
    """Factors without any sense, far from 1."""

    name = "anything"

    def search(self, weights, encoding, statistics):
        if weights[0].device.type != "cpu":
            raise torch.OutOfMemoryError("CUDA out of memory")
        some = torch.Generator().manual_seed(len(weights))
        return torch.randn(weights[0].shape[-1], generator=some).exp()

    def loss(self, weights, factors, encoding, statistics):
        return float((factors == 1).all())


def smoothed(folder, windows):
    """A model after all of its layers are smoothed, and what was left alone."""
    checkpoint = open_model(folder)
    source, folded = NamedWeights(checkpoint), Folded(checkpoint)
    gather = Gather(frozenset({"importance"}))
    place = Place()
    passing = Pass(source, windows, gather, place)
    smoother = Smoother(Anything(), folded, NamedWeights(folded), passing, gather, place)
    encoding = find_encoding("Q8_0")
    for index in range(passing.layers):
        before = passing.hidden.clone()
        _, found = drain(passing.layer(index))
        matrices = [name for name in found.names() if "router" not in name]
        list(smoother.smooth(index, before, found, dict.fromkeys(matrices, encoding)))
    return folded, smoother


@pytest.mark.parametrize("family", FAMILIES)
def test_that_folds_leave_the_model_as_it_is(family, tmp_path):
    made = random_family(family, vocab_size=4096)
    made.save_pretrained(tmp_path / "m")
    copy_tokenizer(tmp_path / "m")
    windows = torch.randint(3, 160, (2, 32), generator=torch.Generator().manual_seed(1))
    folded, smoother = smoothed(tmp_path / "m", windows)
    makers = [name for name, fold in folded.folds.items() if fold.rows is not None]
    makers = [name for name in makers if not name.endswith("bias")]
    assert len(makers) == 2 * FAMILIES[family]
    experts = "model.layers.mlp.experts.down_proj"
    assert smoother.left.get(experts, 0) > (2 if family == "qwen3_moe" else -1)
    if family in {"llama", "qwen2", "qwen3", "gemma2"}:
        assert not smoother.left
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "m", dtype=torch.float32).eval()
    with torch.no_grad():
        expected = model(windows).logits
        parameters = dict(model.named_parameters())
        changed = 0
        for name in folded.folds:
            if name in parameters:
                parameters[name].copy_(folded.tensor(name))
                changed += 1
        found = model(windows).logits
    assert changed >= len(makers)
    assert (found - expected).norm() < 1e-4 * expected.norm()


def test_that_factors_are_searched_on_the_processor_if_the_device_is_full(tmp_path):
    weight = torch.randn(4, 8)
    group = _Group(("w",), (weight,), Statistics(importance=torch.ones(8)), find_encoding("Q8_0"))
    place = Place()
    place.device = "meta"
    smoother = Smoother(Anything(), None, None, None, None, place)
    found, factors = smoother._searched(group)
    assert found is group
    assert torch.equal(factors, Anything().search([weight], None, None))


def test_that_folds_are_found_again_by_another_run_of_the_same_job(tmp_path):
    made = random_family("qwen2", vocab_size=4096)
    made.save_pretrained(tmp_path / "m")
    copy_tokenizer(tmp_path / "m")
    windows = torch.randint(3, 160, (2, 32), generator=torch.Generator().manual_seed(1))
    folded, _ = smoothed(tmp_path / "m", windows)
    folded.save(tmp_path / "folds", "this job")
    again, other = Folded(open_model(tmp_path / "m")), Folded(open_model(tmp_path / "m"))
    again.load(tmp_path / "folds", "this job")
    other.load(tmp_path / "folds", "another job")
    assert again.layers == {0, 1}
    assert not other.layers
    for name in folded.tensors:
        assert torch.equal(again.tensor(name), folded.tensor(name))
        assert torch.equal(other.tensor(name), open_model(tmp_path / "m").tensor(name))
    (tmp_path / "folds").write_bytes(b"damaged")
    damaged = Folded(open_model(tmp_path / "m"))
    damaged.load(tmp_path / "folds", "this job")
    assert not damaged.folds
