import pytest
import torch
from methods_data import correlated


@pytest.fixture(scope="session")
def seen():
    """Inputs that a method is told of, and others that judge it."""
    inputs = correlated(4096, 256)
    return inputs[:2048], inputs[2048:]


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
