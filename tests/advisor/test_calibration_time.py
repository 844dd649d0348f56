from dataclasses import replace

import pytest
from computers import GB, computer

from app.advisor.calibration import _SHOWN, calibration_seconds, fitting_memory, fitting_seconds
from app.advisor.demand import Demand, Layer
from app.core.fit import ConversionCost, together
from app.evaluation.text import DEFAULT_CONTEXT
from app.models.cache import Geometry
from app.ui.widgets.calibration_form import _USUAL
from app.worker.shown import DEFAULT_SAMPLES

DENSE = Demand("d", (Layer(100), Layer(100)), embedding=20, output=20, tied=False)


def seconds(demand, weights=8 * 10**9, machine=None):
    return calibration_seconds(demand, weights, 2 * weights, machine or computer(16 * GB))


def test_that_time_grows_with_the_weights_and_shrinks_with_the_cores():
    low, high = seconds(DENSE)
    assert 60 < low < high < 4 * 3600
    assert seconds(DENSE, 16 * 10**9)[1] == pytest.approx(2 * high, rel=0.05)
    machine = computer(16 * GB)
    many = replace(machine, cpu=replace(machine.cpu, cores=32))
    assert seconds(DENSE, machine=many)[1] < 0.4 * high


def test_that_experts_which_a_token_does_not_use_take_no_time(geometry):
    mixture = replace(DENSE, layers=(Layer(100, experts=80), Layer(100, experts=80)))
    sparse = replace(mixture, geometry=geometry(experts=8, experts_used=2))
    assert seconds(sparse)[1] < 0.6 * seconds(mixture)[1]


@pytest.fixture
def geometry():
    """Makes a geometry of which only the experts count here."""
    return lambda **experts: Geometry("family", (), hidden=8, vocabulary=8, **experts)


def test_that_several_results_take_the_most_memory_and_the_time_of_all():
    one = ConversionCost(100, (10.0, 20.0), (5.0, 9.0))
    other = ConversionCost(300, (1.0, 2.0), (5.0, 9.0))
    assert together([one, other]) == ConversionCost(300, (11.0, 22.0), (5.0, 9.0))
    assert together([one, replace(other, seconds=None)]).seconds is None
    assert together([]) is None
    assert ConversionCost.from_json({"memory": 1, "seconds": None}).calibration is None


def test_that_a_method_that_sees_the_model_takes_longer_than_a_matrix():
    machine, weights = computer(16 * GB), 8 * 10**9
    low, high = fitting_seconds(DENSE, weights, 2 * weights, machine)
    matrix = seconds(DENSE)
    assert low > matrix[0]
    assert high > 2 * matrix[1]


def test_that_it_takes_the_memory_of_two_layers_and_of_what_is_known_of_inputs(geometry):
    weights = 240 * 10**6
    assert fitting_memory(DENSE, weights) == 2 * 4 * 100 * 10**6
    shaped = replace(DENSE, geometry=Geometry("f", (), hidden=4096, vocabulary=8, inner=14336))
    more = fitting_memory(shaped, weights) - fitting_memory(DENSE, weights)
    assert 3 * 4 * 14336**2 < more < 6 * GB


def test_that_a_share_of_the_text_takes_that_share_of_the_time():
    cost = ConversionCost(100, (10.0, 20.0), None, (50.0, 90.0), 7)
    assert cost.fitted(0, 1) == cost
    assert cost.fitted(2, 0.5) == replace(cost, memory=107, seconds=(60.0, 110.0))
    assert replace(cost, seconds=None).fitted(1, 1).seconds == (50.0, 90.0)


def test_that_the_advisor_counts_as_many_tokens_as_jobs_show():
    assert DEFAULT_SAMPLES * DEFAULT_CONTEXT == 65_536  # as in the window's form, too
    assert _SHOWN == _USUAL == 65_536
