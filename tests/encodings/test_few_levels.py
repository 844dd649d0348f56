"""TQ1_0, TQ2_0, Q2_0 and Q1_0 beyond what every encoding is held to."""

import pytest
import torch
from weight_rows import importances, ordinary

from app.encodings import ENCODINGS

TERNARY = ("TQ1_0", "TQ2_0", "Q2_0")
ORDINARY = ordinary()
NO_IMPORTANCE = torch.ones(1024)


def encode(name, weight, importance=None):
    return ENCODINGS[name].encode(weight, importance)["blocks"]


def ternary_weights():
    """-d, 0 and d, with another d for every row, as a model with such weights has them."""
    some = torch.Generator().manual_seed(4)
    levels = torch.randint(-1, 2, (16, 1024), generator=some).float()
    return levels * torch.rand(16, 1, generator=some).bfloat16().float()


def missed(weight, decoded, importance=NO_IMPORTANCE):
    return (importance * (weight - decoded.view(weight.shape)).double().square()).sum(-1)


@pytest.mark.parametrize("name", TERNARY)
def test_that_ternary_weights_have_the_bytes_of_ggml(name, ggml):
    weight = ternary_weights()
    theirs = ggml.encode(weight, ENCODINGS[name])
    assert encode(name, weight).view(-1).equal(theirs)
    there = ENCODINGS[name].encode_torch(weight.view(-1, ENCODINGS[name].block), None)
    assert there.view(-1).equal(theirs)


@pytest.mark.parametrize("name", ["TQ1_0", "TQ2_0"])
def test_that_ternary_weights_have_the_bytes_of_libgguf(name, libgguf_blocks):
    weight = ternary_weights()
    assert encode(name, weight).equal(libgguf_blocks(name, weight).view(len(weight), -1))


def test_that_signs_have_the_bytes_of_libgguf(libgguf_blocks):
    weight = ORDINARY["bfloat16"]
    assert encode("Q1_0", weight).equal(libgguf_blocks("Q1_0", weight).view(len(weight), -1))


def best_ternary(weight, importance):
    """The least square error with three levels: some largest magnitudes are d, the rest 0."""
    magnitude = weight.abs().double()
    order = magnitude.argsort(-1, descending=True)
    w = importance.double().expand_as(magnitude).gather(-1, order)
    magnitude = magnitude.gather(-1, order)
    gain = (w * magnitude).cumsum(-1).square() / w.cumsum(-1)
    return ((w * magnitude.square()).sum(-1) - gain.amax(-1)).sum()


@pytest.mark.parametrize("kind", ["normal", "student t", "spiked", "embed_tokens"])
@pytest.mark.parametrize("importance", [NO_IMPORTANCE, importances()["log normal"]])
def test_that_three_levels_could_hardly_be_nearer(kind, importance, read_as_ggml):
    weight = ORDINARY[kind][:16, :256].contiguous()
    importance = importance[:256]
    ours = read_as_ggml("TQ2_0", encode("TQ2_0", weight, importance))
    assert missed(weight, ours, importance).sum() <= 1.01 * best_ternary(weight, importance)


@pytest.mark.parametrize("side", [1, -1])
def test_that_q2_0_has_its_fourth_level_on_either_side(side, read_as_ggml):
    some = torch.Generator().manual_seed(6)
    weight = side * 0.25 * torch.randint(-1, 3, (8, 128), generator=some).float()
    assert read_as_ggml("Q2_0", encode("Q2_0", weight)).equal(weight.view(-1))


@pytest.mark.parametrize("kind", ["normal", "student t", "off center", "layers.0.mlp.up_proj"])
def test_that_four_levels_could_hardly_be_nearer(kind, read_as_ggml):
    blocks = ORDINARY[kind][:16].reshape(-1, 64)
    best = torch.full((len(blocks),), torch.inf, dtype=torch.float64)
    mean = blocks.abs().mean(-1, keepdim=True)
    for step in torch.linspace(0.5, 6, 200):
        for scale in (step * mean, -step * mean):
            decoded = scale * (blocks / scale).round().clamp(-1, 2)
            best = torch.minimum(best, missed(blocks, decoded, 1))
    ours = missed(blocks, read_as_ggml("Q2_0", encode("Q2_0", ORDINARY[kind][:16])), 1)
    assert ours.sum() <= 1.03 * best.sum()
