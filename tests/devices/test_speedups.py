from dataclasses import replace

import pytest

from app.core.machine import Cpu, Gpu, Machine, Space
from app.devices.known import imagine
from app.devices.speedups import speedups


def fast(machine, device):
    return {row.name for row in speedups(machine) if row.device == device and row.helps}


@pytest.mark.parametrize(
    ("card", "kinds"),
    [
        ("GTX 1080", set()),
        ("GTX 1660 Ti", set()),
        ("RTX 2060", {"INT8"}),
        ("A100", {"INT8", "BF16"}),
        ("RTX 3090", {"INT8", "BF16"}),
        ("RTX 4090", {"INT8", "BF16", "FP8"}),
        ("H100", {"INT8", "BF16", "FP8"}),
        ("RTX 5090", {"INT8", "BF16", "FP8", "NVFP4 and MXFP4"}),
        ("RX 6800", set()),
        ("RX 7900 XTX", {"INT8", "BF16"}),
        ("RX 9070 XT", {"INT8", "BF16", "FP8"}),
        ("Arc B580", {"INT8", "BF16"}),
    ],
)
def test_that_a_card_is_fast_at_what_its_generation_brought(card, kinds):
    machine = imagine(card)
    rows = [row for row in speedups(machine) if row.device == machine.gpus[0].name]
    assert fast(machine, machine.gpus[0].name) == kinds
    assert {row.name for row in rows} == {"INT8", "BF16", "FP8", "NVFP4 and MXFP4"}
    assert all(row.reason for row in rows)


def test_that_the_reason_says_what_the_card_has():
    row = next(row for row in speedups(imagine("RTX 3060")) if row.name == "FP8")
    assert row.reason.endswith("compute capability 8.9; this card has 8.6")


def test_that_bf16_came_with_m2():
    assert fast(imagine("M1 16 GB"), "Apple M1") & {"FP8"} == set()
    assert not any(row.name == "BF16" and row.helps for row in speedups(imagine("M1"))[:3])
    assert any(row.name == "BF16" and row.helps for row in speedups(imagine("M2"))[:3])
    assert "BF16" in imagine("M2").cpu.features
    assert "BF16" not in imagine("M1 Max").cpu.features


@pytest.mark.parametrize(
    ("features", "kinds"),
    [
        ((), set()),
        (("AVX2",), {"GGUF kernels"}),
        (("AVX2", "AVX-VNNI"), {"GGUF kernels", "INT8"}),
        (("AVX2", "AVX-512", "AMX"), {"GGUF kernels", "INT8", "BF16"}),
        (("NEON", "DOTPROD", "BF16"), {"GGUF kernels", "INT8", "BF16"}),
    ],
)
def test_that_a_processor_is_fast_by_its_instructions(features, kinds):
    machine = Machine(Cpu("Some", 4, 8, features), Space("Memory", 1, 1))
    assert fast(machine, "Some") == kinds


def test_that_two_equal_cards_are_told_once_and_unknown_ones_not_at_all():
    once, twice = speedups(imagine("RTX 4090")), speedups(imagine("2x RTX 4090"))
    assert once == twice
    odd = Gpu("S3 ViRGE", "s3", "", 4, 4)
    machine = replace(imagine("16 GB"), gpus=(odd,))
    assert not [row for row in speedups(machine) if row.device == "S3 ViRGE"]
