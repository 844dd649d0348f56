import json

import torch

from app import devices
from app.core.machine import Machine
from app.devices.base import Found


def test_that_json_is_the_machine(say):
    code, out, _ = say("hardware", "--json")
    assert code == 0
    assert Machine.from_json(json.loads(out)).cpu.threads >= 1


def test_that_another_computer_can_be_named(say):
    code, out, _ = say("hardware", "--on", "2x RTX 3090")
    assert code == 0
    assert "2x RTX 3090 24 GB + 32 GB memory" in out
    assert "faster with" in out
    machine = Machine.from_json(json.loads(say("hardware", "--on", "2x RTX 3090", "--json")[1]))
    assert [gpu.name for gpu in machine.gpus] == ["RTX 3090", "RTX 3090"]


def test_that_an_unknown_computer_is_bad_input(say):
    code, out, err = say("hardware", "--on", "RTX 4080 Ti")
    assert (code, out) == (2, "")
    assert "RTX 4080" in err


def test_that_the_memory_is_measured_on_request_and_known_from_then_on(say, monkeypatch):
    assert json.loads(say("hardware", "--json")[1])["cpu"]["bandwidth"] == 0
    monkeypatch.setattr(devices, "measure_bandwidth", lambda threads, available: 51.2e9)
    assert json.loads(say("hardware", "--measure", "--json")[1])["cpu"]["bandwidth"] == 51.2e9
    assert "read at 51.2 GB/s" in say("hardware", "--measure")[1]
    assert json.loads(say("hardware", "--json")[1])["cpu"]["bandwidth"] == 51.2e9


def test_that_problems_are_shown(say, monkeypatch):
    class Broken:
        def probe(self):
            return Found(problems=("The driver does not answer.",))

    monkeypatch.setattr(devices, "_vendors", lambda: {"nvidia": Broken()})
    assert "! The driver does not answer." in say("hardware")[1]
    assert "Problem: The driver does not answer." in say("hardware", "--diagnostics")[1]


def test_that_probe_says_what_pytorch_can_use(say):
    code, out, _ = say("probe", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["version"] == torch.__version__
    assert found["devices"][0]["works"] is True
    assert "works" in say("probe")[1]
