from app.evaluation.speed import WITH_KERNELS, Ggml, measure


def test_that_every_kernel_is_measured_beside_ggml():
    rows = list(measure(weights=2**16, rounds=3))
    assert [row.encoding for row in rows] == list(WITH_KERNELS)
    for row in rows:
        assert row.encode > 1e6
        assert row.decode > 1e6
        assert row.ggml is not None
        assert row.ratio is not None


def test_that_the_searches_are_faster_than_those_of_ggml():
    for row in measure(("Q4_K", "Q5_K", "Q6_K"), weights=2**18, rounds=3):
        assert row.ratio is not None
        assert row.ratio > 1.5  # measured: 8, 7.5 and 3.3


def test_that_ggml_is_optional(monkeypatch):
    monkeypatch.setattr(Ggml, "installed", classmethod(lambda cls: None))
    (row,) = measure(("Q8_0",), weights=2**16, rounds=1)
    assert row.ggml is None
    assert row.ratio is None
    assert row.encode > 0
