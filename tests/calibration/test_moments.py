import pytest
import torch
from checkpoint_models import CheckpointSource, random_family
from random_models import drain

from app.calibration.collectors import Collected, Statistic
from app.calibration.engine import collect
from app.calibration.moments import AbsMax, Gather, Reservoir, SecondMoment, SumOfMagnitudes
from app.models.layerwise import Place

FIELDS = frozenset({"importance", "second_moment", "absmax", "mean_abs", "samples"})


@pytest.fixture
def rows():
    some = torch.Generator().manual_seed(6)
    return torch.randn(1000, 48, generator=some) * torch.logspace(-2, 2, 48)


def in_pieces(collector, rows, sizes):
    found = Collected(collector)
    for piece in rows.split(sizes):
        found.add("x", 0, Statistic(len(piece), collector.measure(piece).double()))
    ((_, statistic),) = found.of("x")
    return statistic


@pytest.mark.parametrize("sizes", [[1000], [1, 7, 492, 500]])
def test_that_pieces_add_up_to_the_whole(rows, sizes):
    exact = rows.double()
    expected = {
        SecondMoment(): exact.mT @ exact,
        AbsMax(): exact.abs().amax(0),
        SumOfMagnitudes(): exact.abs().sum(0),
    }
    for collector, value in expected.items():
        found = in_pieces(collector, rows, sizes)
        scale = value.abs().max()
        assert found.tokens == 1000
        assert (found.value - value).abs().max() < 1e-6 * scale


def test_that_a_reservoir_holds_the_same_rows_however_they_come(rows):
    whole = in_pieces(Reservoir(64), rows, [1000]).value
    assert whole.shape == (65, 48)
    assert in_pieces(Reservoir(64), rows, [13] * 76 + [12]).value.equal(whole)
    assert not in_pieces(Reservoir(64, seed=1), rows, [1000]).value.equal(whole)
    places = [(rows == row.float()).all(-1).nonzero() for row in whole]
    assert all(len(place) == 1 for place in places)


def test_that_a_few_rows_stand_for_all_even_where_some_are_far_larger(rows):
    rows = rows * torch.logspace(0, 4, 1000)[:, None]
    error = torch.randn(48, 20, generator=torch.Generator().manual_seed(3))
    exact = (rows @ error).square().sum()
    found = []
    for seed in range(200):
        reservoir = Reservoir(100, seed)
        kept = reservoir.weighed(reservoir.measure(rows))
        assert kept.shape == (100, 48)
        found.append((kept @ error).square().sum() / exact)
    ratios = torch.stack(found)
    assert ratios.mean() == pytest.approx(1, abs=0.02)
    assert ratios.std() < 0.1  # with 100 rows drawn evenly: 0.36


def test_that_the_largest_rows_stand_for_themselves_alone(rows):
    rows[17] *= 1000
    rows[500] = rows[17]  # equal rows are two
    reservoir = Reservoir(64)
    kept = reservoir.weighed(reservoir.measure(rows))
    assert (kept == rows[17]).all(-1).sum() == 2


def test_that_all_rows_are_kept_as_they_are_where_they_are_few(rows):
    reservoir = Reservoir(64)
    kept = reservoir.weighed(reservoir.measure(rows[:64]))
    assert kept.sort(0).values.equal(rows[:64].sort(0).values)


@pytest.mark.parametrize("fields", [FIELDS, {"samples", "absmax"}, {"second_moment"}])
def test_that_statistics_gathered_together_are_those_gathered_alone(rows, fields):
    gather = Gather(frozenset(fields), samples=32)
    known = gather.statistics(in_pieces(gather, rows, [400, 600]))
    expected = {
        "importance": rows.double().square().mean(0),
        "second_moment": rows.double().mT @ rows.double(),
        "absmax": rows.double().abs().amax(0),
        "mean_abs": rows.double().abs().mean(0),
        "samples": Reservoir(32).weighed(in_pieces(Reservoir(32), rows, [1000]).value),
    }
    for name, value in expected.items():
        found = getattr(known, name)
        if name not in fields and not (name == "importance" and "second_moment" in fields):
            assert found is None
        else:
            assert found.dtype == torch.float32
            torch.testing.assert_close(found, value.float(), rtol=1e-5, atol=1e-3)


def test_that_a_whole_model_can_be_asked_for_everything_at_once():
    model = random_family("llama")
    tokens = torch.randint(3, 160, (3, 24), generator=torch.Generator().manual_seed(2))
    gather = Gather(FIELDS, samples=16)
    _, found = drain(collect(CheckpointSource(model), tokens, gather, Place()))
    seen = []
    (name, module) = next(
        (name, module) for name, module in model.named_modules() if name.endswith("1.mlp.down_proj")
    )
    hook = module.register_forward_pre_hook(lambda _, args: seen.append(args[0].flatten(0, -2)))
    with torch.no_grad():
        model(tokens)
    hook.remove()
    ((_, statistic),) = found.of(f"{name}.weight")
    known, inputs = gather.statistics(statistic), torch.cat(seen).double()
    moment = (inputs.mT @ inputs).float()
    torch.testing.assert_close(known.second_moment, moment, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(known.absmax, inputs.abs().amax(0).float(), rtol=1e-3, atol=1e-4)
    directions = [some / some.norm(dim=-1, keepdim=True) for some in (known.samples, inputs)]
    assert len(known.samples) == 16
    assert torch.cdist(directions[0].double(), directions[1]).amin(-1).max() < 1e-3
