import weakref

import pytest
import torch
from checkpoint_models import CheckpointSource, random_family

from app.core.errors import BadModelFile
from app.models.skeleton import Skeleton
from app.models.transformers_names import ParameterNames

GATE_UP = "model.layers.1.mlp.experts.gate_up_proj"


def names_of(source):
    return ParameterNames(Skeleton(source.config).model, source.names)


@pytest.fixture
def source():
    return CheckpointSource(random_family("qwen3_moe", num_local_experts=12))


def test_that_experts_are_found_in_the_order_of_their_numbers(source):
    """Not in that of their letters, in which 10 comes before 2."""
    origin = names_of(source).origin(GATE_UP)
    part = "model.layers.1.mlp.experts.{}.{}_proj.weight"
    assert [origin.matrix_of(part.format(n, "up")) for n in range(12)] == list(range(12))
    assert set(origin.names) == {part.format(n, p) for n in range(12) for p in ("gate", "up")}


def test_that_a_tensor_that_is_no_expert_is_its_own_parameter(source):
    name = "model.layers.0.self_attn.q_proj.weight"
    origin = names_of(source).origin(name)
    assert (origin.names, origin.matrix_of(name)) == ([name], None)
    assert names_of(source).origin("no such parameter") is None


class Counting:
    """Gives tensors away and counts those that are still held."""

    def __init__(self, source):
        self.source = source
        self.held = weakref.WeakSet()
        self.most = 0

    def read(self, name):
        tensor = self.source.weight(name).clone()
        self.held.add(tensor)
        self.most = max(self.most, len(self.held))
        return tensor


def test_that_experts_are_stacked_one_at_a_time(source):
    skeleton = Skeleton(source.config)
    counting = Counting(source)
    made = names_of(source).origin(GATE_UP).read(skeleton.model, counting.read)
    assert counting.most <= 2
    part = "model.layers.1.mlp.experts.{}.{}_proj.weight"
    expected = [
        torch.cat([source.weight(part.format(n, "gate")), source.weight(part.format(n, "up"))])
        for n in range(12)
    ]
    assert torch.equal(made[GATE_UP], torch.stack(expected))


@pytest.mark.parametrize("missing", ["3.gate_proj", "3.up_proj", "11.down_proj"])
def test_that_a_missing_expert_is_an_incomplete_model(source, missing):
    del source.tensors[f"model.layers.1.mlp.experts.{missing}.weight"]
    with pytest.raises(BadModelFile):
        Skeleton(source.config).layer_weights(1, source)


def test_that_experts_of_another_shape_are_refused(source):
    source.tensors["model.layers.1.mlp.experts.3.gate_proj.weight"] = torch.ones(31, 64)
    with pytest.raises(BadModelFile):
        Skeleton(source.config).layer_weights(1, source)


def test_that_names_without_the_models_prefix_are_found():
    """As the files of gpt2 have them."""
    source = CheckpointSource(random_family("gpt2"))
    plain = {name.removeprefix("transformer."): t for name, t in source.tensors.items()}
    assert plain.keys() != source.tensors.keys()
    skeleton = Skeleton(source.config)
    expected = skeleton.layer_weights(1, source)
    source.tensors = plain
    found = Skeleton(source.config).layer_weights(1, source)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)
