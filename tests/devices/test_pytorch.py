import sys
from importlib import metadata

import pytest
import torch

from app.devices import pytorch


@pytest.mark.parametrize(
    ("version", "system", "machine", "expected"),
    [
        ("2.13.0+cpu", "linux", "x86_64", "cpu"),
        ("2.13.0+cu130", "win32", "AMD64", "cuda"),
        ("2.13.0+rocm7.2", "linux", "x86_64", "rocm"),
        ("2.13.0+xpu", "linux", "x86_64", "xpu"),
        ("2.13.0", "linux", "x86_64", "cuda"),
        ("2.13.0", "win32", "AMD64", "cpu"),
        ("2.13.0", "darwin", "arm64", "mps"),
    ],
)
def test_that_the_version_tells_what_it_was_built_for(version, system, machine, expected):
    assert pytorch.build(version, system, machine) == expected


def test_that_the_installed_build_is_what_torch_says_of_itself():
    assert (pytorch.build() == "cuda") == (torch.version.cuda is not None)


def test_that_the_processor_computes():
    found = pytorch.examine()
    assert found.version == torch.__version__
    assert found.devices[0] == pytorch.Tried("cpu", "Processor", works=True)


def test_that_a_build_for_the_processor_is_explained(monkeypatch):
    monkeypatch.setattr(pytorch, "build", lambda: "cpu")
    monkeypatch.setattr(pytorch, "accelerators", tuple)
    assert "built for the processor only" in pytorch.examine().problems[0]


def test_that_a_build_for_a_card_that_is_not_there_is_explained(monkeypatch):
    monkeypatch.setattr(pytorch, "build", lambda: "rocm")
    monkeypatch.setattr(pytorch, "accelerators", tuple)
    assert "graphics by AMD, and finds none" in pytorch.examine().problems[0]


def test_that_no_pytorch_is_said(monkeypatch):
    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(pytorch.metadata, "version", absent)
    found = pytorch.examine()
    assert (found.version, found.build, found.devices) == ("", "", ())
    assert found.problems == ("PyTorch is not installed.",)


def test_that_a_broken_pytorch_is_said_in_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    found = pytorch.examine()
    assert found.devices == ()
    assert found.problems[0].startswith("PyTorch is installed but does not start: ")
    assert "\n" not in found.problems[0]


def pretend_card(monkeypatch, capability, built):
    """One NVIDIA card, on which computing fails, as there is none."""
    monkeypatch.setattr(pytorch, "accelerators", lambda: ("cuda:0",))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "RTX 9999")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: built)
    return pytorch.examine().devices[1]


@pytest.mark.parametrize(
    ("capability", "built"),
    [
        ((6, 1), ["sm_75", "sm_80", "sm_86", "sm_90"]),
        ((12, 0), ["sm_75", "sm_80", "sm_86", "sm_90"]),
        ((8, 0), ["sm_86"]),
        ((8, 6), ["compute_90"]),
        ((10, 0), ["sm_90a"]),
    ],
)
def test_that_a_card_without_code_is_explained(capability, built, monkeypatch):
    row = pretend_card(monkeypatch, capability, built)
    assert not row.works
    assert (
        f"no code for RTX 9999 (compute capability {capability[0]}.{capability[1]})" in row.problem
    )


@pytest.mark.parametrize(
    ("capability", "built"),
    [
        ((8, 9), ["sm_80", "sm_86"]),
        ((12, 0), ["sm_90", "compute_90"]),
        ((12, 0), ["sm_100", "sm_120"]),
    ],
)
@pytest.mark.skipif(torch.cuda.is_available(), reason="the pretended card would compute")
def test_that_a_card_with_code_is_tried_and_its_failure_is_one_line(capability, built, monkeypatch):
    row = pretend_card(monkeypatch, capability, built)
    assert not row.works
    assert row.problem.startswith("cuda:0 does not compute: ")
    assert "\n" not in row.problem


def test_that_wrong_results_are_noticed(monkeypatch):
    monkeypatch.setattr(pytorch, "accelerators", tuple)
    monkeypatch.setattr(torch, "ones", lambda *_, **__: torch.zeros((16, 16)))
    assert pytorch.examine().devices[0].problem == "Processor computes wrong results."
