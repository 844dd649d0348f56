"""Percentiles read from counts are those of the values themselves."""

import numpy as np
import pytest
import torch

from app.calibration.collectors import Collected, Statistic
from app.calibration.magnitudes import Magnitudes, range_of

PERCENTILES = (0.01, 1, 50, 90, 99, 99.9, 99.99, 99.999)


@pytest.fixture
def rows():
    """Values of many magnitudes, with tails as inputs have them."""
    some = torch.Generator().manual_seed(4)
    return torch.randn(2000, 96, generator=some) ** 3 * torch.logspace(-3, 2, 96)


def counted(rows, sizes):
    found = Collected(Magnitudes())
    for piece in rows.split(sizes):
        found.add("x", 0, Statistic(len(piece), Magnitudes().measure(piece).double()))
    ((_, statistic),) = found.of("x")
    return statistic.value


def test_that_percentiles_are_those_of_all_values(rows):
    found = counted(rows, [2000])
    values = rows.abs().numpy()
    for percentile in PERCENTILES:
        expected = np.quantile(values, percentile / 100, method="inverted_cdf")
        assert range_of(found, percentile) == pytest.approx(expected, rel=0.02), percentile
    assert range_of(found, 100) == values.max()


def test_that_counts_are_the_same_however_rows_come(rows):
    whole = counted(rows, [2000])
    assert counted(rows, [1, 700, 299, 1000]).equal(whole)
    assert counted(rows.flip(0), [1500, 500]).equal(whole)
    assert int(whole[:-1].sum()) == rows.numel()


def test_that_rows_may_lie_in_memory_as_they_like(rows):
    assert counted(rows.mT.contiguous().mT, [2000]).equal(counted(rows, [2000]))


@pytest.mark.parametrize("value", [0.0, 1.0, 0.75, 1e-40, 3.4e38])
def test_that_equal_values_have_that_range_to_the_width_of_a_bin(value):
    found = counted(torch.full((40, 3), -value), [40])
    assert range_of(found, 100) == torch.tensor(value).item()
    assert range_of(found, 95) == pytest.approx(value, rel=0.035, abs=1e-38)


def test_that_a_few_extremes_are_cut_off():
    values = torch.arange(1.0, 1001).view(10, 100)
    values[3, 3] = -1e6
    found = counted(values, [10])
    assert range_of(found, 100) == 1e6
    assert range_of(found, 99.9) == pytest.approx(1000, rel=0.02)
    assert range_of(found, 50) == pytest.approx(500, rel=0.02)
