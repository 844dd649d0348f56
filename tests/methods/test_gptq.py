import gc

import pytest
import torch
from methods_data import correlated, output_error, statistics_of, weights
from slow_reference import nearest_to_output, rounded

from app.encodings import ENCODINGS, find_encoding
from app.encodings.block_grids import BLOCK_GRIDS
from app.methods.base import Statistics
from app.methods.feedback import Feedback
from app.methods.gptq import _LATEST, Gptq
from app.methods.grid import Grid, grid_of
from app.methods.nearest import Nearest

AFFINE = ("gptq-4bit-g128-sym", "gptq2-3bit-g32-asym", "packed-4bit-row-sym", "mlx-4bit-g64")


def decoded(method, name, weight, known):
    encoding = find_encoding(name)
    shape = tuple(weight.shape)
    return encoding.decode(method.quantize(weight, encoding, known), shape)


@pytest.mark.parametrize("act_order", [True, False])
@pytest.mark.parametrize("columns", [1, 5, 12])
def test_that_codes_are_those_of_the_slow_reference(columns, act_order):
    weight, inputs = weights(6, columns), correlated(64, columns)
    moment = inputs.mT @ inputs / 64
    grid = Grid(torch.full((6, 1), 0.01), torch.full((6, 1), -0.08), 0, 15, columns)
    feedback = Feedback.of(moment, 0.01, act_order=act_order)
    order = feedback.order.tolist()
    expected = rounded(weight, moment, grid, order, damping=0.01)
    torch.testing.assert_close(grid.values(feedback.round(weight, grid)), expected.float())


def test_that_lazy_blocks_change_nothing():
    weight, inputs = weights(8, 300), correlated(900, 300)
    moment = inputs.mT @ inputs / 900
    grid = Grid(torch.full((8, 1), 0.005), torch.zeros(8, 1), -8, 7, 300)
    feedback = Feedback.of(moment, 0.01, act_order=True)
    codes = feedback.round(weight, grid)
    order = feedback.order.tolist()
    expected = rounded(weight, moment, grid, order, damping=0.01)
    same = (grid.values(codes) - expected).abs() < 1e-6
    assert same.double().mean() > 0.99  # float32 may tip a tie, and what follows from it
    ours, theirs = (
        (inputs @ (some - weight).mT).norm() for some in (grid.values(codes), expected.float())
    )
    assert ours == pytest.approx(float(theirs), rel=0.01)


def test_that_it_comes_near_the_best_of_all_roundings():
    inputs = correlated(128, 6)
    moment = inputs.mT @ inputs / 128
    grid = Grid(torch.full((1, 1), 0.02), torch.zeros(1, 1), -1, 1, 6)
    feedback = Feedback.of(moment, 1e-4, act_order=True)
    values = [torch.tensor([-0.02, 0.0, 0.02])] * 6
    found, best, plain = 0.0, 0.0, 0.0
    for weight in weights(20, 6):
        row = weight[None]
        for total, codes in (("found", feedback.round(row, grid)), ("plain", grid.codes(row))):
            error = (grid.values(codes) - row)[0]
            loss = float(error @ moment @ error)
            found, plain = found + loss * (total == "found"), plain + loss * (total == "plain")
        best += nearest_to_output(weight, moment, values)
    assert best <= found * 1.0001
    assert found - best < 0.4 * (plain - best)


@pytest.mark.parametrize("name", [*BLOCK_GRIDS, *AFFINE])
def test_that_it_beats_rounding_on_inputs_it_has_not_seen(name, seen):
    told, judge = seen
    weight, known = weights(64, 256), statistics_of(told)
    error = output_error(weight, decoded(Gptq(), name, weight, known), judge)
    weighed = output_error(weight, decoded(Nearest(), name, weight, known), judge)
    assert error < 0.9 * weighed


@pytest.mark.parametrize("name", BLOCK_GRIDS)
def test_that_only_codes_of_a_block_change(name, seen):
    told, _ = seen
    weight, known = weights(16, 256), statistics_of(told)
    encoding, kind = ENCODINGS[name], BLOCK_GRIDS[name]
    blocks = Gptq().quantize(weight, encoding, known)["blocks"].view(-1, encoding.block_bytes)
    importance = known.second_moment.diagonal().contiguous()
    plain = encoding.encode(weight, importance)["blocks"].view(-1, encoding.block_bytes)
    for ours, theirs in zip(kind.read(blocks), kind.read(plain), strict=True):
        assert ours.equal(theirs)
    assert not blocks.equal(plain)


def test_that_a_column_that_was_never_used_is_rounded_to_the_nearest(seen):
    told, _ = seen
    unused = told.clone()
    unused[:, 5::16] = 0
    weight, encoding = weights(16, 256), ENCODINGS["Q4_0"]
    known = statistics_of(unused)
    grid, _ = grid_of(encoding, weight, known.importance)
    found = encoding.decode(Gptq().quantize(weight, encoding, known), (16, 256))
    torch.testing.assert_close(found[:, 5::16], grid.values(grid.codes(weight))[:, 5::16])


@pytest.mark.parametrize("moment", ["one token", "nothing", "not quite positive"])
def test_that_a_second_moment_that_cannot_be_factored_does_no_harm(moment):
    inputs = correlated(1, 64)
    moments = {
        "one token": inputs.mT @ inputs,
        "nothing": torch.zeros(64, 64),
        "not quite positive": torch.ones(64, 64) - 0.5 * torch.eye(64),
    }
    weight, known = weights(8, 64), Statistics(second_moment=moments[moment])
    found = decoded(Gptq(damping=0.0), "Q4_0", weight, known)
    assert found.isfinite().all()
    assert (found - weight).norm() < 0.5 * weight.norm()


@pytest.mark.parametrize("name", [*BLOCK_GRIDS, *AFFINE])
def test_that_rows_without_a_range_stay_what_they_are(name, seen):
    told, _ = seen
    weight = torch.zeros(32, 256)
    weight[1] = 0.25
    weight[2, 7] = 1.0
    found = decoded(Gptq(), name, weight, statistics_of(told))
    assert found[0].abs().max() == 0
    assert found.isfinite().all()
    assert (found[1] - 0.25).abs().max() < 0.03


def test_that_slices_of_rows_give_the_same_as_the_whole(seen):
    told, _ = seen
    weight, known, encoding = weights(16, 256), statistics_of(told), ENCODINGS["Q5_0"]
    whole = Gptq().quantize(weight, encoding, known)["blocks"]
    slices = [Gptq().quantize(rows, encoding, known)["blocks"] for rows in weight.split(5)]
    assert torch.cat(slices).equal(whole)


def test_that_factors_are_made_once_and_let_go_with_the_second_moment(seen, monkeypatch):
    told, _ = seen
    made = []
    original = Feedback.of
    monkeypatch.setattr(
        Feedback, "of", lambda *args, **options: made.append(1) or original(*args, **options)
    )
    known = statistics_of(told)
    for _ in range(3):
        Gptq().quantize(weights(4, 256), ENCODINGS["Q4_0"], known)
    assert len(made) == 1
    Gptq(damping=0.1).quantize(weights(4, 256), ENCODINGS["Q4_0"], known)
    assert len(made) == 2
    del known
    gc.collect()
    assert _LATEST._found is None


def test_that_a_stack_of_matrices_keeps_its_shape(seen):
    told, _ = seen
    weight, known, encoding = weights(12, 256), statistics_of(told), ENCODINGS["Q4_1"]
    stacked = Gptq().quantize(weight.view(3, 4, 256), encoding, known)["blocks"]
    assert stacked.shape == (3, 4, 256 // 32 * encoding.block_bytes)
    assert stacked.view(12, -1).equal(Gptq().quantize(weight, encoding, known)["blocks"])
