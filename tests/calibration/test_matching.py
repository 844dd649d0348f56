import torch

from app.calibration.collectors import Collected, Statistic
from app.calibration.matching import Matching
from app.calibration.moments import Gather
from app.core.plan import PlannedTensor
from app.models.architectures.base import Dimensions, Source, Weight
from app.models.architectures.changes import ColumnPart, Stacked, Turned
from app.models.description import Description

NEEDS = frozenset({"second_moment", "absmax", "mean_abs", "samples"})


def described(*weights):
    stored = {source.name: f"prefix.{source.name}" for one in weights for source in one.sources}
    sizes = Dimensions(1, 8, 8, 1, 1, 8, 10)
    return Description(None, {}, sizes, tied=False, weights=weights, stored=stored)


def seen(gather, rows):
    return Statistic(len(rows), gather.measure(rows))


def rows_of(columns, seed=0):
    return torch.randn(50, columns, generator=torch.Generator().manual_seed(seed))


def planned(name, shape, *sources):
    return PlannedTensor(name, shape, "Q8_0", 0, 0, sources)


def test_that_columns_that_change_places_take_their_statistics_along():
    weight = Weight.of("blk.0.half.weight", "half", 4, 8, change=ColumnPart(1, 2))
    gather, found = Gather(NEEDS), Collected(None)
    rows = rows_of(8)
    found.add("half", 0, seen(gather, rows))
    (match,) = Matching(described(weight)).find(found, planned(weight.gguf, (4, 4)))
    known = match.arranged(gather.statistics(match.statistic))
    expected = gather.statistics(seen(gather, rows[:, 1::2].contiguous()))
    torch.testing.assert_close(known.second_moment, expected.second_moment)
    torch.testing.assert_close(known.importance, expected.importance)
    torch.testing.assert_close(known.absmax, expected.absmax)
    torch.testing.assert_close(known.mean_abs, expected.mean_abs)
    assert known.samples.shape == (50, 4)


def test_that_every_expert_of_a_stack_has_its_own_statistics():
    names = [f"experts.{number}" for number in range(3)]
    stack = Weight("blk.0.exps.weight", tuple(Source(name, (4, 8)) for name in names), Stacked())
    gather, found = Gather(NEEDS), Collected(None)
    for number in (0, 2):  # no token met the second one
        found.add(names[number], 0, seen(gather, rows_of(8, number)))
    matches = Matching(described(stack)).find(found, planned(stack.gguf, (3, 4, 8)))
    assert [match and match.statistic.tokens for match in matches] == [50, None, 50]
    assert matches[0].statistic is dict(found.of("experts.0"))[0]


def test_that_an_expert_taken_out_of_a_stack_finds_its_place_there():
    stack = Weight.of("blk.0.exps.weight", "mlp.experts.down_proj", 3, 8, 4, change=Turned())
    gather, found = Gather(NEEDS), Collected(None)
    for number in range(3):
        found.add("mlp.experts.down_proj", number, seen(gather, rows_of(8, number)))
    matching = Matching(described(stack))
    one = planned("mlp.experts.2.down_proj.weight", (4, 8), "prefix.mlp.experts.down_proj")
    (match,) = matching.find(found, one)
    assert match.statistic is dict(found.of("mlp.experts.down_proj"))[2]
    assert list(matching.sources(one)) == ["mlp.experts.down_proj"]


def test_that_statistics_of_another_width_are_not_used():
    weight = Weight.of("blk.0.a.weight", "a", 4, 8)
    found = Collected(None)
    found.add("a", 0, seen(Gather(NEEDS), rows_of(6)))
    assert Matching(described(weight)).find(found, planned(weight.gguf, (4, 8))) == [None]
