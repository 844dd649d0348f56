"""Methods that round each weight on its own: nearest, clipped, HQQ."""

import pytest
import torch
from methods_data import correlated, output_error, statistics_of, weights

from app.core.errors import Unsupported
from app.encodings import ENCODINGS, find_encoding
from app.methods import METHODS
from app.methods.base import Statistics
from app.methods.clipped import Clipped
from app.methods.gptq import Gptq
from app.methods.hqq import Hqq
from app.methods.nearest import Nearest

ASYMMETRIC = ("gptq-4bit-g64-asym", "gptq2-3bit-g64-asym", "gptq2-2bit-g32-asym", "mlx-3bit-g64")
SYMMETRIC = ("gptq-4bit-g128-sym", "packed-4bit-row-sym")


def decoded(method, name, weight, known=None):
    encoding = find_encoding(name)
    shape = tuple(weight.shape)
    return encoding.decode(method.quantize(weight, encoding, known), shape)


def test_that_nearest_is_the_encodings_own_choice():
    weight, importance = weights(4, 256), torch.rand(256)
    expected = ENCODINGS["Q4_K"].encode(weight, importance)["blocks"]
    for known in (importance, Statistics(importance=importance)):
        assert Nearest().quantize(weight, ENCODINGS["Q4_K"], known)["blocks"].equal(expected)


def test_that_a_method_names_what_it_has_to_know():
    with pytest.raises(Unsupported) as refused:
        Gptq().quantize(weights(4, 256), ENCODINGS["Q4_0"], torch.rand(256))
    assert "second_moment" in refused.value.details


@pytest.mark.parametrize("name", [*ASYMMETRIC, *SYMMETRIC])
@pytest.mark.parametrize("field", ["second_moment", "samples"])
def test_that_clipping_by_outputs_beats_clipping_by_weights(name, field, seen):
    told, judge = seen
    weight = torch.distributions.StudentT(4.0).rsample((64, 256)) * 0.02
    known = Statistics(**{field: getattr(statistics_of(told), field)})
    error = output_error(weight, decoded(Clipped(), name, weight, known), judge)
    assert error < output_error(weight, decoded(Nearest(), name, weight), judge)


def test_that_samples_and_second_moment_clip_alike(seen):
    told, _ = seen
    whole, weight = statistics_of(told), weights(32, 256)
    results = [
        decoded(Clipped(), "gptq2-3bit-g64-asym", weight, known)
        for known in (
            Statistics(second_moment=whole.second_moment),
            Statistics(samples=whole.samples),
        )
    ]
    assert (results[0] == results[1]).float().mean() > 0.99


def norm_of_errors(weight, stored, power=0.7):
    return float((weight - stored).abs().pow(power).sum())


@pytest.mark.parametrize("name", ASYMMETRIC)
@pytest.mark.parametrize("spread", ["normal", "with outliers", "off center"])
def test_that_hqq_lowers_the_norm_it_is_made_for(name, spread):
    weight = weights(64, 256)
    weight[:, ::61] *= 6 if spread == "with outliers" else 1
    weight += 0.03 * (spread == "off center")
    error = norm_of_errors(weight, decoded(Hqq(), name, weight))
    assert error <= norm_of_errors(weight, decoded(Nearest(), name, weight))
    assert error < 0.99 * norm_of_errors(weight, plain(name, weight))


def plain(name, weight):
    """Rounded on grids from extreme to extreme."""
    encoding = find_encoding(name)
    scale, zero = encoding.grid(weight, None, (1.0,))
    return encoding.values(encoding.nearest(weight, scale, zero), scale, zero)


def test_that_hqq_does_not_look_at_the_size_of_weights():
    weight = weights(32, 256)
    small = decoded(Hqq(), "mlx-4bit-g64-f32", weight)
    large = decoded(Hqq(), "mlx-4bit-g64-f32", 1024 * weight)
    torch.testing.assert_close(large, 1024 * small)


@pytest.mark.parametrize("method", [Clipped(), Hqq(), Gptq()], ids=lambda method: method.name)
@pytest.mark.parametrize("name", [*ASYMMETRIC, *SYMMETRIC])
def test_that_what_is_stored_is_what_the_layout_promised(method, name):
    encoding, weight = find_encoding(name), weights(64, 256)
    if not method.fits(encoding):
        assert encoding.symmetric
        return
    weight[0], weight[1] = 0, 0.5
    parts = method.quantize(weight, encoding, statistics_of(correlated(64, 256)))
    promised = {part.name: part.shape for part in encoding.layout((64, 256))}
    assert {part: tuple(tensor.shape) for part, tensor in parts.items()} == promised
    found = encoding.decode(parts, (64, 256))
    assert found[0].abs().max() == 0
    assert (found[1] - 0.5).abs().max() < 0.06
    assert (found - weight).norm() < 0.7 * weight.norm()


def test_that_every_method_fits_something_and_says_so():
    known = [*ENCODINGS.values(), *map(find_encoding, (*ASYMMETRIC, *SYMMETRIC))]
    for kind in METHODS.values():
        assert any(kind().fits(encoding) for encoding in known)
    assert not Gptq().fits(ENCODINGS["IQ4_NL"])
    assert not Hqq().fits(find_encoding(SYMMETRIC[0]))
