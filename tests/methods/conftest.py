import pytest
from methods_data import correlated


@pytest.fixture(scope="session")
def seen():
    """Inputs that a method is told of, and others that judge it."""
    inputs = correlated(4096, 256)
    return inputs[:2048], inputs[2048:]


@pytest.fixture(autouse=True)
def everything_on_one_thread(one_thread):
    """See `one_thread`."""
