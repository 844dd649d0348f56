import pytest

from app.core.eta import Estimator


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def feed(estimator, clock, steps, seconds=0.5, share=0.01, start=0.0):
    for step in range(steps):
        estimator.put(start + step * share)
        clock.now += seconds


def test_that_steady_work_is_extrapolated(clock):
    estimator = Estimator(clock)
    feed(estimator, clock, 21)  # 20 % in 10 s
    assert estimator.remaining() == pytest.approx(40, abs=1)


def test_that_nothing_is_said_too_early(clock):
    estimator = Estimator(clock)
    assert estimator.remaining() is None
    feed(estimator, clock, 3)
    assert estimator.remaining() is None


def test_that_the_speed_of_the_last_half_minute_counts(clock):
    estimator = Estimator(clock)
    feed(estimator, clock, 100, share=0.001)
    feed(estimator, clock, 80, share=0.01, start=0.1)  # ten times faster for 40 s
    assert estimator.remaining() == pytest.approx((1 - 0.89) / 0.02, rel=0.1)


def test_that_a_sleeping_computer_does_not_count_as_slow_work(clock):
    estimator = Estimator(clock)
    feed(estimator, clock, 21)
    clock.now += 8 * 3600
    feed(estimator, clock, 5, start=0.21)
    assert estimator.remaining() == pytest.approx(37.5, abs=2)


def test_that_the_time_counts_down_between_two_reports(clock):
    estimator = Estimator(clock)
    feed(estimator, clock, 21)
    before = estimator.remaining()
    clock.now += 3
    assert estimator.remaining() == pytest.approx(before - 3)


def test_that_work_which_starts_over_is_measured_anew(clock):
    estimator = Estimator(clock)
    feed(estimator, clock, 21)
    estimator.put(0.0)
    assert estimator.remaining() is None
