"""What the search of IQ1_S and IQ1_M does beyond not losing to ggml."""

import gguf
import numpy as np
import pytest
import torch
from weight_rows import importances, ordinary, weird

from app.encodings import ENCODINGS
from app.encodings.grids import IQ1
from app.encodings.kernels.iq1_cells import CELLS, MOST_SETS, NO_POINT, cells

NAMES = ("IQ1_S", "IQ1_M")
KINDS = ("normal", "student t", "spiked", "off center", "layers.0.mlp.up_proj")


def encode(name, weight, importance=None):
    return ENCODINGS[name].encode(weight, importance)["blocks"]


def error(weight, decoded, importance):
    missed = importance * (weight.double() - decoded.double().view(weight.shape)).square()
    return float(missed.sum())


def as_ggml_counts(weight):
    """What ggml's own search multiplies the importance of a column with."""
    blocks = weight.view(-1, 256).double()
    return (2 * blocks.square().mean(-1, keepdim=True) + blocks.square()).sqrt().view(weight.shape)


@pytest.mark.slow  # ggml needs ten seconds to make its tables
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_that_errors_are_well_below_those_of_ggml(name, kind, ggml, read_as_ggml):
    weight = ordinary()[kind][:32]
    importance = importances(weight.shape[-1])["log normal"]
    for columns in (torch.ones(weight.shape[-1]), importance):
        ours = read_as_ggml(name, encode(name, weight, columns))
        theirs = read_as_ggml(name, ggml.encode(weight, ENCODINGS[name], columns))
        assert error(weight, ours, columns) < 0.9 * error(weight, theirs, columns)
        counted = columns * as_ggml_counts(weight)
        assert error(weight, ours, counted) < error(weight, theirs, counted)


@pytest.mark.parametrize("name", NAMES)
def test_that_weights_of_two_values_are_kept(name, read_as_ggml):
    weight = weird()["two values"]
    ours = read_as_ggml(name, encode(name, weight)).view(weight.shape)
    # Delta cannot suit both signs; and of 256 combinations of signs, 250 are on the grid.
    assert ((ours - weight).abs() < 0.2).float().mean() > 0.99


def test_that_the_grid_is_that_of_gguf():
    gguf.quants.IQ1_S.init_grid()
    np.testing.assert_array_equal(
        np.array(IQ1.values, np.float32)[IQ1.levels()], gguf.quants.IQ1_S.grid.reshape(2048, 8)
    )


def test_that_every_cell_has_the_sets_of_flips_that_are_needed():
    sets, flips, points = cells()
    large, sign = np.arange(CELLS) & 255, np.arange(CELLS) >> 8
    bits = np.arange(8)
    codes = (large[:, None] >> bits & 1) * (1 - 2 * (sign[:, None] >> bits & 1))  # (cells, 8)
    grid = {tuple(levels): number for number, levels in enumerate(IQ1.levels().astype(int) - 1)}
    expected = [grid.get(tuple(code), NO_POINT) for code in codes]
    assert points.tolist() == expected
    some = np.random.default_rng(2)
    for cell in some.integers(0, CELLS, 300).tolist():
        first, count = int(sets[cell]) >> 5, int(sets[cell]) & 31
        listed = flips[first : first + count].tolist() or [0]
        leading = [flip for flip in range(256) if points[cell ^ flip] != NO_POINT]
        needed = [f for f in leading if not any(g != f and g & f == g for g in leading)]
        assert sorted(listed) == needed
        assert len(listed) <= MOST_SETS


def test_that_the_points_are_nearly_the_nearest_for_their_scales(read_as_ggml):
    """All 2048 points with both deltas, at the scales that IQ1_S stored."""
    weight = ordinary()["normal"][:8, :512].contiguous()
    blocks = encode("IQ1_S", weight).view(-1, 50)
    high = blocks[:, 34:].contiguous().view(torch.int16).int()
    step = blocks[:, :2].contiguous().view(torch.float16).float()
    scale = (step * (2 * (high >> 12 & 7) + 1)).view(-1, 1, 1, 1)
    groups = weight.view(-1, 4, 1, 8)
    grid = torch.from_numpy(IQ1.levels()).float() - 1
    best = [
        (groups - scale * (grid + delta)).square().sum(-1).amin(-1).sum(-1)
        for delta in (0.125, -0.125)
    ]
    missed = (weight.view(-1, 32) - read_as_ggml("IQ1_S", blocks).view(-1, 32)).square().sum(-1)
    assert missed.mean() < 1.01 * torch.minimum(*best).mean()
