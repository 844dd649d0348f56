import pytest
import torch

from app.core.errors import Unsupported
from app.core.machine import Space
from app.devices.pytorch import accelerators
from app.models.scratch import Scratch
from app.worker.device import check_device, place_on


def test_that_the_processor_is_always_there():
    check_device("cpu")


def test_that_a_card_is_known_by_its_number(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert accelerators()[:2] == ("cuda:0", "cuda:1")
    check_device("cuda")
    check_device("cuda:1")
    with pytest.raises(Unsupported, match="cuda:2"):
        check_device("cuda:2")


@pytest.mark.parametrize("name", ["", "gpu", "cuda:99", "cpu:1", "cuda:x", "vulkan"])
def test_that_another_device_is_refused_with_those_there_are(name):
    with pytest.raises(Unsupported, match="cannot use") as caught:
        check_device(name)
    assert "cpu" in caught.value.hint


@pytest.mark.parametrize(("free", "most"), [(4000, 1000), (10**12, 2 * 10**9)])
def test_that_what_waits_takes_a_small_part_of_the_memory(home, monkeypatch, free, most):
    monkeypatch.setattr("app.worker.device.memory", lambda: Space("Memory", 10**12, free))
    assert place_on("cpu").scratch == Scratch(home, most)
