import pytest

from app.core.retelling import retold


def counting(log):
    try:
        yield 1
        yield 2
    finally:
        log.append("closed")
    return "result"


def test_that_events_are_changed_and_the_result_is_handed_on():
    result = []

    def listening():
        result.append((yield from retold(counting([]), lambda number: 10 * number)))

    assert list(listening()) == [10, 20]
    assert result == ["result"]


def test_that_closing_closes_what_is_told():
    log = []
    told = retold(counting(log), str)
    assert next(told) == "1"
    told.close()
    assert log == ["closed"]


def test_that_an_error_thrown_in_closes_what_is_told():
    log = []
    told = retold(counting(log), str)
    next(told)
    with pytest.raises(KeyError):
        told.throw(KeyError())
    assert log == ["closed"]
