import pytest
import torch

from app.evaluation.text import Windows


@pytest.fixture
def windows():
    tokens = torch.randint(0, 160, (6, 32), generator=torch.Generator().manual_seed(3))
    return Windows(tokens, "random")


@pytest.fixture(autouse=True)
def everything_on_one_thread(one_thread):
    """See `one_thread`."""
