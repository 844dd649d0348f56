import pytest
import torch
from methods_data import correlated, statistics_of, weights

from app.core.errors import Unsupported
from app.encodings import ENCODINGS, find_encoding
from app.methods.activations import round_tokens
from app.methods.awq import Awq
from app.methods.base import Statistics
from app.methods.smoothquant import SmoothQuant

GROUPED = find_encoding("packed-4bit-g64-asym")
BYTES = find_encoding("packed-8bit-row-sym")


def lost(weights_, factors, encoding, inputs, rounded=lambda inputs: inputs):
    """The squared error of the outputs."""
    total = 0.0
    for weight in weights_:
        stored = encoding.decode(encoding.encode(weight * factors), tuple(weight.shape))
        outputs = rounded(inputs / factors) @ stored.mT
        total += float((outputs - inputs @ weight.mT).square().sum())
    return total


@pytest.fixture
def group():
    """Matrices that share their inputs, as queries, keys and values do."""
    return [weights(64, 256), weights(32, 256, seed=8)]


@pytest.mark.parametrize("encoding", [GROUPED, ENCODINGS["Q4_0"]], ids=lambda found: found.name)
def test_that_awq_protects_columns_with_large_inputs(encoding, group, seen):
    told, judge = seen
    factors = Awq(powers=8).factors(group, encoding, statistics_of(told[:512]))
    ones = torch.ones(256)
    assert lost(group, factors, encoding, judge) < 0.8 * lost(group, ones, encoding, judge)
    loud = told.abs().mean(0) > 2
    assert factors[loud].mean() > factors[~loud].mean()


def test_that_awq_takes_any_number_of_rows_that_its_encoding_holds(seen):
    told, _ = seen
    encoding = find_encoding("awq-4bit-g128-asym")  # rows are a multiple of 8
    factors = Awq(powers=4).factors([weights(1152, 256)], encoding, statistics_of(told[:64]))
    assert factors.isfinite().all()


def test_that_awq_leaves_alone_what_cannot_gain(group):
    exact = [weight.mul(400).round().clamp(-7, 7) / 400 for weight in group]
    for weight in exact:
        weight[:, ::32] = -8 / 400
    inputs = correlated(128, 256)
    factors = Awq(powers=4).factors(exact, ENCODINGS["Q4_0"], statistics_of(inputs))
    assert lost(exact, factors, ENCODINGS["Q4_0"], inputs) < 1e-4 * float(inputs.square().sum())


@pytest.mark.parametrize("strength", [0.5, None])
def test_that_smoothing_helps_where_inputs_have_outlier_channels(strength, group, seen):
    told, judge = (inputs.clone() for inputs in seen)
    told[:, 3] *= 30
    judge[:, 3] *= 30
    factors = SmoothQuant(strength).factors(group, BYTES, statistics_of(told[:512]))
    smoothed = lost(group, factors, BYTES, judge, round_tokens)
    assert smoothed < 0.5 * lost(group, torch.ones(256), BYTES, judge, round_tokens)


def test_that_a_searched_strength_is_at_least_as_good_as_every_given_one(group):
    inputs = correlated(256, 256)
    known = statistics_of(inputs)
    searched = SmoothQuant().factors(group, BYTES, known)
    best = lost(group, searched, BYTES, inputs, round_tokens)
    for strength in (0.3, 0.5, 0.8):
        factors = SmoothQuant(strength).factors(group, BYTES, known)
        assert best <= 1.0001 * lost(group, factors, BYTES, inputs, round_tokens)


def test_that_factors_are_those_of_the_paper():
    weight = torch.tensor([[1.0, -4.0], [0.5, 2.0]])
    known = Statistics(absmax=torch.tensor([16.0, 1.0]))
    factors = SmoothQuant(0.5).factors([weight], BYTES, known)
    torch.testing.assert_close(factors, torch.tensor([4.0, 0.5]))  # sqrt(16 / 1), sqrt(1 / 4)


@pytest.mark.parametrize("method", [Awq(powers=4), SmoothQuant()], ids=lambda found: found.name)
def test_that_unused_columns_and_zero_weights_have_factors_too(method):
    inputs, weight = correlated(64, 256), weights(64, 256)
    inputs[:, 5] = 0
    weight[:, 9] = 0
    weight[3] = 0
    factors = method.factors([weight], GROUPED, statistics_of(inputs))
    assert factors.isfinite().all()
    assert (factors > 0).all()


@pytest.mark.parametrize("method", [Awq(), SmoothQuant()], ids=lambda found: found.name)
def test_that_nothing_is_smoothed_without_having_seen_inputs(method, group):
    with pytest.raises(Unsupported):
        method.factors(group, BYTES, Statistics(absmax=torch.ones(256)))


def test_that_tokens_are_rounded_to_whole_codes_of_their_own_scale():
    inputs = torch.tensor([[127.0, 3.4, -0.6], [0.0, 0.0, 0.0]])
    expected = torch.tensor([[127.0, 3.0, -1.0], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(round_tokens(inputs), expected)
