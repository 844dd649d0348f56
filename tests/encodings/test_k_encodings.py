"""What the searches of the K encodings promise beyond not losing to ggml."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from weight_rows import ordinary, weird

from app.encodings import ENCODINGS

STEPS = {"Q2_K": 2, "Q3_K": 3, "Q4_K": 12, "Q5_K": 28, "Q6_K": 24}
"""Steps of the narrowest grid that the search may choose."""


def encode(name, weight, importance=None):
    return ENCODINGS[name].encode(weight, importance)["blocks"]


def error(weight, decoded, importance):
    missed = importance * (weight.double() - decoded.double().view(weight.shape)).square()
    return float(missed.sum())


def ggml_importance(name, weight):
    """What ggml's own search weighs errors with."""
    if name in {"Q3_K", "Q6_K"}:
        return weight.square()
    groups = weight.view(-1, 32)
    return (groups.square().mean(-1, keepdim=True).sqrt() + groups.abs()).view(weight.shape)


@pytest.mark.parametrize("name", sorted(STEPS.keys() - {"Q2_K"}))  # ggml counts no squares there
def test_that_errors_as_ggml_counts_them_are_smaller_too(name, ggml, read_as_ggml):
    for weight in ordinary().values():
        ours = read_as_ggml(name, encode(name, weight))
        theirs = read_as_ggml(name, ggml.encode(weight, ENCODINGS[name]))
        for importance in (torch.ones_like(weight), ggml_importance(name, weight)):
            assert error(weight, ours, importance) < error(weight, theirs, importance)


@pytest.mark.parametrize("name", STEPS)
def test_that_weights_below_a_normal_scale_are_not_lost(name, ggml, read_as_ggml):
    weight = weird()["1e-7"]
    everything = float(weight.double().square().sum())
    ours = read_as_ggml(name, encode(name, weight))
    theirs = read_as_ggml(name, ggml.encode(weight, ENCODINGS[name]))
    assert error(weight, ours, 1) < 0.15 * everything
    assert error(weight, theirs, 1) > 0.8 * everything


@pytest.mark.parametrize("name", STEPS)
@settings(deadline=None, max_examples=60)
@given(row=arrays("float32", 256, elements=st.floats(-1e4, 1e4, width=32)))
def test_that_any_row_keeps_its_largest_weights(name, row):
    weight = torch.from_numpy(row).view(1, -1)
    decoded = ENCODINGS[name].decode({"blocks": encode(name, weight)}, tuple(weight.shape))
    assert decoded.isfinite().all()
    # Half a step of the widest grid, the rounding of its scale and minimum, and float16's own.
    bound = weight.abs().max() * (2 / STEPS[name] + 2 / 63) + 2**-14
    assert (decoded - weight).abs().max() <= bound
