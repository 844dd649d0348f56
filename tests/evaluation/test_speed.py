import pytest

from app.evaluation.speed import WITH_KERNELS, Ggml, measure


@pytest.mark.parametrize(
    "names", [("Q8_0", "Q4_0", "Q3_K"), pytest.param(WITH_KERNELS, marks=pytest.mark.slow)]
)
def test_that_kernels_are_measured_beside_ggml(names):
    rows = list(measure(names, weights=2**15, rounds=1))
    assert [row.encoding for row in rows] == list(names)
    for row in rows:
        assert row.decode > 1e6
        assert row.scaling is None
        for pace in (row.plain, row.weighed):
            assert pace.ours > 1e4
            assert pace.ggml is not None
            assert pace.ratio is not None


def test_that_the_searches_are_faster_than_those_of_ggml():
    for row in measure(("Q2_K", "Q4_K", "Q5_K", "Q6_K"), weights=2**18, rounds=3):
        assert row.plain.ratio is not None
        assert row.weighed.ratio is not None
        assert row.plain.ratio > 1.5  # measured: 6, 8, 6.5 and 3.6
        assert row.weighed.ratio > 1.5  # measured: 13, 13, 13 and 3.5


def test_that_ggml_is_optional(monkeypatch):
    monkeypatch.setattr(Ggml, "installed", classmethod(lambda cls: None))
    (row,) = measure(("Q8_0",), weights=2**16, rounds=1)
    for pace in (row.plain, row.weighed):
        assert pace.ggml is None
        assert pace.ratio is None
        assert pace.ours > 0


def test_that_threads_are_measured_when_asked_for():
    (row,) = measure(("Q8_0",), weights=2**18, rounds=3, threads=2)
    assert row.scaling is not None
    assert row.scaling > 0
