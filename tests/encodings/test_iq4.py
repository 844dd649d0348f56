"""IQ4_NL and IQ4_XS beyond what every encoding is held to."""

import gguf
import numpy as np
import pytest
from weight_rows import ordinary, weighed

from app.encodings import ENCODINGS
from app.encodings.kernels.codebooks import IQ4, IQ4_CODE, IQ4_MIDDLES, IQ4_UNIT, IQ4_VALUE

NAMES = ("IQ4_NL", "IQ4_XS")
ORDINARY = ordinary()


def missed(weight, decoded, importance):
    return float((importance * (weight - decoded.view(weight.shape)).double().square()).sum())


def rounded(x, coefficients):
    return np.rint(np.polynomial.Polynomial(coefficients)(x.astype(np.float64))).astype(int)


def test_that_the_codebook_is_that_of_gguf():
    assert gguf.quants.IQ4_NL.kvalues == IQ4


def test_that_the_polynomials_know_the_codebook():
    values = np.array(IQ4)
    assert rounded(values / IQ4_UNIT, IQ4_CODE).tolist() == list(range(16))
    assert rounded(np.arange(16), IQ4_VALUE).tolist() == list(IQ4)


def test_that_the_polynomial_hardly_ever_misses_the_nearest_code():
    spread = np.linspace(IQ4[0], IQ4[-1], 100_001)
    found = rounded(spread / IQ4_UNIT, IQ4_CODE)
    nearest = np.searchsorted(IQ4_MIDDLES, spread, side="right")
    assert np.abs(found - nearest).max() == 1
    errors = [np.square(np.array(IQ4)[codes] - spread).mean() for codes in (found, nearest)]
    assert errors[0] < 1.006 * errors[1]


@pytest.mark.parametrize("name", NAMES)
def test_that_each_weight_has_the_nearest_value_of_its_scale(name, read_as_ggml):
    weight = ORDINARY["student t"][:8]
    encoding = ENCODINGS[name]
    blocks = encoding.encode(weight[:, :1024])["blocks"].view(-1, encoding.block_bytes)
    ours = read_as_ggml(name, blocks).view(-1, 32)
    for code in range(16):  # the same scales with all weights on one code
        blocks[:, -encoding.block // 2 :] = code * 17
        other = read_as_ggml(name, blocks).view(-1, 32)
        distance = (weight.view(-1, 32) - other).abs()
        assert ((weight.view(-1, 32) - ours).abs() <= distance * (1 + 1e-5)).all()


@pytest.mark.parametrize("name", NAMES)
def test_that_the_search_wins_by_the_measure_of_ggml_as_well(name, ggml, read_as_ggml):
    for weight, importance in weighed(ORDINARY).values():
        encoding = ENCODINGS[name]
        measure = importance * (2 * weight.square().mean(-1, keepdim=True) + weight**2).sqrt()
        ours = read_as_ggml(name, encoding.encode(weight, importance)["blocks"])
        theirs = read_as_ggml(name, ggml.encode(weight, encoding, importance))
        assert missed(weight, ours, measure) < missed(weight, theirs, measure)


def test_that_scales_below_the_normal_halves_are_not_lost(ggml, read_as_ggml):
    weight = ORDINARY["normal"] * 5e-4
    ours = read_as_ggml("IQ4_XS", ENCODINGS["IQ4_XS"].encode(weight)["blocks"])
    theirs = read_as_ggml("IQ4_XS", ggml.encode(weight, ENCODINGS["IQ4_XS"]))
    assert missed(weight, ours, 1) < 0.02 * missed(weight, theirs, 1)
