"""Half precision by bit arithmetic against NumPy's."""

import numpy as np
import pytest
import torch

from app.encodings.kernels.half import half_bits, half_value, step_bits
from app.encodings.vectorised.halves import step_halves

ALL = np.arange(65536, dtype=np.uint16)
NUMBERS = ALL[np.isfinite(ALL.view(np.float16))]


def test_that_every_half_has_its_value():
    values = np.array([half_value(bits) for bits in ALL.tolist()], np.float32)
    np.testing.assert_array_equal(values, ALL.view(np.float16).astype(np.float32))


def test_that_every_half_comes_back():
    values = NUMBERS.view(np.float16).astype(np.float32)
    assert [half_bits(value) for value in values] == NUMBERS.tolist()


def test_that_numbers_between_halves_go_to_the_nearest_and_ties_to_even():
    some = np.random.default_rng(5)
    halves = NUMBERS[NUMBERS < 0x7BFF]
    below, above = (bits.view(np.float16).astype(np.float64) for bits in (halves, halves + 1))
    ties = ((below + above) / 2).astype(np.float32)
    random = (10.0 ** some.uniform(-9, 6, 20_000) * some.choice([-1, 1], 20_000)).astype(np.float32)
    values = np.concatenate([ties[::7], np.nextafter(ties[::11], np.float32(9)), random])
    with np.errstate(over="ignore"):
        expected = values.astype(np.float16).view(np.uint16)
    assert [half_bits(value) for value in values] == expected.tolist()


@pytest.mark.parametrize("codes", [63, -128])
def test_that_a_step_reaches_the_largest_scale(codes):
    for largest in np.float32(10) ** np.arange(-7.5, 4, 0.13, dtype=np.float32):
        step = half_value(step_bits(largest, np.float32(codes)))
        reached = step * np.clip(np.rint(largest / step), -abs(codes), abs(codes))
        plain = np.float32(np.float16(largest / codes)) * np.float32(codes)
        assert abs(reached - largest) <= abs(plain - largest)
        torch_step = step_halves(torch.tensor([[largest]]), codes)
        assert float(torch_step) == step
