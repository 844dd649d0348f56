import gc
from dataclasses import dataclass

import pytest
import torch
from methods_data import correlated, output_error, statistics_of, weights
from slow_reference import nearest_to_output, rounded

from app.encodings import ENCODINGS, find_encoding
from app.encodings.block_grids import BLOCK_GRIDS
from app.methods.base import Statistics
from app.methods.feedback import _TOGETHER, Feedback, _rounded_here, _rounded_there, _Scales
from app.methods.gptq import _LATEST, Gptq
from app.methods.grid import Grids, grids_of
from app.methods.kernels.feedback import ROWS
from app.methods.nearest import Nearest

AFFINE = ("gptq-4bit-g128-sym", "gptq2-3bit-g32-asym", "packed-4bit-row-sym", "mlx-4bit-g64")


def decoded(method, name, weight, known):
    encoding = find_encoding(name)
    shape = tuple(weight.shape)
    return encoding.decode(method.quantize(weight, encoding, known), shape)


@dataclass
class Even(Grids):
    """The same grid everywhere, whatever the weights are."""

    step: float
    offset: float
    lowest: int
    highest: int
    columns: int
    span: int

    def find(self, weight, first):
        shape = len(weight), weight.shape[1] // self.columns
        return torch.full(shape, self.step), torch.full(shape, self.offset)

    def store(self, codes):
        return {"values": codes * self.step + self.offset}

    def nearest(self, weight):
        codes = ((weight - self.offset) / self.step).round().clamp(self.lowest, self.highest)
        return self.store(codes)["values"]


def solved(weight, moment, grids, span):
    """Our values, and those of the slow reference."""
    feedback = Feedback.of(moment, 0.01, span)
    ours = grids.store(feedback.round(weight, grids, span))["values"]
    return ours, rounded(weight, moment, grids.nearest, feedback.order.tolist(), damping=0.01)


@pytest.mark.parametrize(("columns", "span"), [(1, 1), (5, 5), (12, 4), (12, 12)])
def test_that_codes_are_those_of_the_slow_reference(columns, span):
    weight, inputs = weights(6, columns), correlated(64, columns)
    grids = Even(0.01, -0.08, 0, 15, columns=span, span=span)
    ours, expected = solved(weight, inputs.mT @ inputs / 64, grids, span)
    torch.testing.assert_close(ours, expected.float())


@pytest.mark.parametrize("span", [32, 60, 150, 300])
def test_that_lazy_blocks_change_nothing(span):
    columns = 256 if span == 32 else 300
    weight, inputs = weights(8, columns), correlated(900, columns)
    grids = Even(0.005, 0.0, -8, 7, columns=span, span=span)
    ours, expected = solved(weight, inputs.mT @ inputs / 900, grids, span)
    assert ((ours - expected).abs() < 1e-6).double().mean() > 0.99  # float32 may tip a tie
    losses = [float((inputs @ (some.float() - weight).mT).norm()) for some in (ours, expected)]
    assert losses[0] == pytest.approx(losses[1], rel=0.01)


@pytest.mark.parametrize("span", [4, 12])
def test_that_large_inputs_are_rounded_first_span_by_span(span):
    sizes = torch.tensor([1.0, 9, 2, 3, 8, 8, 7, 8.5, 4, 5, 6, 20])
    order = Feedback.of(sizes.diag(), 0.01, span).order.tolist()
    if span == 12:
        assert order == sizes.argsort(descending=True, stable=True).tolist()
    else:
        assert order == [11, 10, 9, 8, 7, 4, 5, 6, 1, 3, 2, 0]


def test_that_it_comes_near_the_best_of_all_roundings():
    inputs = correlated(128, 6)
    moment = inputs.mT @ inputs / 128
    grids = Even(0.02, 0.0, -1, 1, columns=6, span=6)
    feedback = Feedback.of(moment, 1e-4, 6)
    weight = weights(20, 6)
    ours = grids.store(feedback.round(weight, grids, 6))["values"]
    found, plain = (
        float(((some - weight) @ moment * (some - weight)).sum())
        for some in (ours, grids.nearest(weight))
    )
    best = sum(nearest_to_output(row, moment, (-0.02, 0.0, 0.02)) for row in weight)
    assert best <= found * 1.0001
    assert found - best < 0.4 * (plain - best)


@pytest.mark.parametrize("name", [*BLOCK_GRIDS, *AFFINE])
def test_that_it_beats_rounding_on_inputs_it_has_not_seen(name, seen):
    told, judge = seen
    weight, known = weights(64, 256), statistics_of(told)
    error = output_error(weight, decoded(Gptq(), name, weight, known), judge)
    weighed = output_error(weight, decoded(Nearest(), name, weight, known), judge)
    assert error < 0.9 * weighed


def odd_weights():
    """Weights that leave little to gain, or whose grids have to be clipped."""
    normal = weights(8, 256)
    spiked = normal.clone()
    spiked[:, 5::64] *= 40
    return {
        "spiked": spiked,
        "off center": normal + 0.1,
        "one sided": normal.abs(),
        "on a grid": (normal * 200).round() / 200,
        "sparse": normal * (normal.abs() > 0.03),
        "two values": 0.02 * normal.sign(),
    }


@pytest.mark.parametrize("kind", odd_weights())
@pytest.mark.parametrize("name", [*BLOCK_GRIDS, *AFFINE[2:]])
def test_that_it_is_never_worse_than_rounding(name, kind, seen):
    told, _ = seen
    weight, known = odd_weights()[kind].repeat(8, 1), statistics_of(told)
    error = output_error(weight, decoded(Gptq(), name, weight, known), told)
    weighed = output_error(weight, decoded(Nearest(), name, weight, known), told)
    assert error <= 1.01 * weighed + 1e-9


@pytest.mark.parametrize("name", BLOCK_GRIDS)
def test_that_only_codes_change_on_grids_that_were_found_beforehand(name, seen):
    told, _ = seen
    weight, known = weights(16, 256), statistics_of(told)
    encoding, kind = ENCODINGS[name], BLOCK_GRIDS[name]
    parts = Gptq(refit=False).quantize(weight, encoding, known)
    blocks = parts["blocks"].view(-1, encoding.block_bytes)
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
    step, _ = grids_of(encoding, weight, known.importance).find(weight, 0)
    found = encoding.decode(Gptq(refit=False).quantize(weight, encoding, known), (16, 256))
    steps = step.repeat_interleave(32, -1)
    nearest = (weight / steps).round().clamp(-8, 7) * steps
    torch.testing.assert_close(found[:, 5::16], nearest[:, 5::16])


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


@pytest.mark.parametrize("refit", [True, False])
def test_that_either_way_of_finding_grids_beats_rounding(refit, seen):
    told, judge = seen
    weight, known = weights(300, 256), statistics_of(told)  # more rows than are judged
    error = output_error(weight, decoded(Gptq(refit=refit), "Q5_0", weight, known), judge)
    weighed = output_error(weight, decoded(Nearest(), "Q5_0", weight, known), judge)
    assert error < 0.7 * weighed


def test_that_processors_and_other_devices_round_columns_alike():
    assert _TOGETHER == ROWS
    columns, rows, count = 128, 2 * _TOGETHER, 4
    step = torch.rand(count, rows) + 0.5
    step[1, ::3] = 0
    inverse = torch.where(step > 0, 1 / step, 0.0)
    scales = _Scales(
        torch.stack([step, torch.randn(count, rows), inverse]),
        torch.randint(count, (columns,)),
        (-3.0, 4.0),
    )
    passed = (torch.eye(columns) + 0.1 * torch.randn(columns, columns)).triu()
    left = 3 * torch.randn(columns, rows)
    here, there = _rounded_here(left, passed, scales), _rounded_there(left.clone(), passed, scales)
    differ = (here[0] != there[0]).any(0)  # where a tie was broken otherwise
    assert differ.sum() <= 2
    assert not torch.equal(here[1], torch.zeros_like(here[1]))
    torch.testing.assert_close(here[1][:, ~differ], there[1][:, ~differ], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["gptq-4bit-g128-sym", "awq-4bit-g128-asym", "mlx-4bit-g64"])
def test_that_any_number_of_rows_that_an_encoding_holds_is_fitted(name):
    weight = weights(1152, 128)  # of Gemma 3 1B; others divide by 256
    found = decoded(Gptq(), name, weight, statistics_of(correlated(300, 128)))
    assert (found - weight).norm() < 0.3 * weight.norm()
