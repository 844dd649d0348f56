import pytest
import torch

from app.evaluation.text import Windows


@pytest.fixture
def windows():
    tokens = torch.randint(0, 160, (6, 32), generator=torch.Generator().manual_seed(3))
    return Windows(tokens, "random")


@pytest.fixture(autouse=True)
def one_thread():
    """Matrices as small as these wait for each other's threads most of the time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
