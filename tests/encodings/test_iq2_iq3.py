"""IQ2 and IQ3: grids, signs and the exact search for the nearest point."""

import gguf
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numba import njit
from weight_rows import importances, ordinary

from app.encodings import ENCODINGS, grids
from app.encodings.kernels import lattice
from app.encodings.vectorised.lattice import Points

NAMES = ("IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S")
every = pytest.mark.parametrize("name", NAMES)
EVEN = {"IQ2_XXS", "IQ2_XS", "IQ3_XXS"}

NORMAL = ordinary()["normal"][:8]
CHANNELS = importances()["outlier channels"]


def decoded(name, weight, importance=None):
    encoding = ENCODINGS[name]
    return encoding.decode(encoding.encode(weight, importance), tuple(weight.shape))


def error(weight, stored, importance):
    return float((importance * (weight - stored).double().square()).sum())


def ggml_importance(weight, importance):
    """What ggml's own searches weigh errors with, where they are given importances."""
    blocks = weight.double().view(-1, 256)
    by_size = (blocks.square().mean(-1, keepdim=True) + blocks.square()).sqrt()
    return importance.double() * by_size.view(weight.shape)


@pytest.mark.parametrize("grid", grids.GRIDS, ids=lambda grid: grid.name)
def test_that_the_grids_are_those_of_gguf(grid):
    theirs = getattr(gguf.quants, "IQ1_S" if grid.name == "IQ1" else grid.name)
    theirs.init_grid()
    points = np.array(grid.values, np.float32)[grid.levels()]
    assert (points == theirs.grid.reshape(grid.points, grid.coordinates)).all()


@njit(cache=True)
def search_once(grid, target, importance, scale):
    """All rows of a search; parts of kernels can only be called by compiled code."""
    search = lattice.new_search()
    search.target[:] = target
    search.importance[:] = importance
    search.scale[:] = scale
    lattice.find(grid, search)
    return search.halves, search.error, search.products, search.squares


def nearest_by_kernel(grid, target, importance, scale):
    """Numbers of the nearest points to 32 targets, (32, points of eight weights), and the sums."""
    prepared = lattice.lattice_of(grid)
    rows = np.ascontiguousarray(target.T).ravel(), np.ascontiguousarray(importance.T).ravel()
    halves, *sums = search_once(prepared, *rows, scale)
    halves = halves[: 64 * 8 // grid.coordinates].reshape(-1, 2, 32)
    return prepared.numbers[halves[:, 0] * len(prepared.packed) + halves[:, 1]].T, sums


@pytest.mark.parametrize("grid", grids.GRIDS[:5], ids=lambda grid: grid.name)
def test_that_no_point_is_nearer_than_the_one_found(grid):
    some = np.random.default_rng(1)
    points = np.array(grid.values)[grid.levels()]
    for size in (0.02, 0.1, 1.0):
        target = some.normal(size=(32, 8)).astype(np.float32)
        importance = some.lognormal(0, 1.5, (32, 8)).astype(np.float32)
        scale = np.full(32, size * 3 / max(grid.values), np.float32)
        found, (total, by_target, squares) = nearest_by_kernel(grid, target, importance, scale)
        split = (-1, 1, grid.coordinates)
        missed = target.reshape(split) - scale[0] * points
        errors = (importance.reshape(split) * missed**2).sum(-1)
        mine = np.take_along_axis(errors, found.reshape(-1, 1), 1).ravel()
        assert (mine <= errors.min(1) * (1 + 1e-4)).all()
        np.testing.assert_allclose(total, mine.reshape(32, -1).sum(1), rtol=1e-4)
        q = points[found].reshape(32, 8)
        np.testing.assert_allclose(squares, (importance * q * q).sum(1), rtol=1e-4)
        products = (importance * q * target).sum(1)
        np.testing.assert_allclose(by_target, products, rtol=1e-3, atol=1e-2)
        rows = [torch.from_numpy(a.reshape(-1, grid.coordinates)) for a in (target, importance)]
        by_torch = Points.of(grid, torch.device("cpu")).nearest(*rows, torch.tensor(scale[0]))
        theirs = np.take_along_axis(errors, by_torch.numpy()[:, None], 1).ravel()
        assert (theirs <= errors.min(1) * (1 + 1e-4)).all()


@pytest.mark.parametrize(
    "name",
    [  # ggml needs seconds to make its tables of some of them
        pytest.param(name, marks=pytest.mark.slow) if name in {"IQ2_XS", "IQ2_S"} else name
        for name in NAMES
    ],
)
def test_that_what_counts_for_ggml_is_not_lost(name, ggml, read_as_ggml):
    for kind, bound in (("normal", 1), ("student t", 1), ("spiked", 1.1)):
        weight = ordinary()[kind][:8]
        theirs = read_as_ggml(name, ggml.encode(weight, ENCODINGS[name], CHANNELS))
        counted = ggml_importance(weight, CHANNELS)
        ours = decoded(name, weight, CHANNELS)
        missed = error(weight, theirs.view(weight.shape), counted)
        assert error(weight, ours, counted) < bound * missed


@every
def test_that_importance_moves_the_error_to_where_it_matters_less(name):
    stored, cared = decoded(name, NORMAL), decoded(name, NORMAL, CHANNELS)
    much = CHANNELS.gt(CHANNELS.mean())
    assert error(NORMAL, cared, much) < 0.9 * error(NORMAL, stored, much)
    assert error(NORMAL, cared, CHANNELS) < 0.9 * error(NORMAL, stored, CHANNELS)


@every
def test_that_signs_are_kept_but_for_one_of_eight(name):
    weight = ordinary()["student t"][:16]
    wrong = (decoded(name, weight).sign() != weight.sign()).view(-1, 8)
    negative = (weight < 0).view(-1, 8).sum(-1)
    odd = negative % 2 == 1 if name in EVEN else torch.zeros_like(negative, dtype=torch.bool)
    assert (wrong.sum(-1) == odd.int()).all()
    flipped = weight.abs().view(-1, 8)[wrong]
    assert (flipped == weight.abs().view(-1, 8)[odd].amin(-1)).all()


@every
@pytest.mark.parametrize("size", [1e-30, 3e-7, 1e-5, 1e4])
def test_that_the_size_of_the_weights_does_not_matter_while_float16_has_numbers(name, size):
    weight = NORMAL / NORMAL.std() * size
    weight = weight.double()
    relative = float((decoded(name, weight.float()) - weight).norm() / weight.norm())
    if size == 1e-30:
        assert relative == 1  # all zeros: the smallest that can be stored would be worse
    else:
        assert relative < (0.5 if size == 3e-7 else 0.4)


@every
@settings(deadline=None, max_examples=40)
@given(row=arrays("float32", 256, elements=st.floats(-1e4, 1e4, width=32)))
def test_that_no_row_is_made_worse_than_by_zeros(name, row):
    weight = torch.from_numpy(row).view(1, -1)
    stored = decoded(name, weight)
    assert stored.isfinite().all()
    assert float((stored - weight).norm()) <= max(float(weight.norm()), 1e-4)


def test_that_more_bits_are_nearer_in_this_family():
    weight = ordinary()["student t"][:16]
    errors = [error(weight, decoded(name, weight), torch.ones(())) for name in NAMES]
    assert errors == sorted(errors, reverse=True)
