import pytest

from app.core.machine import Space
from app.devices.apple import Apple, working_set

GIB = 1 << 30


def kernel(**facts):
    """A kernel that answers with numbers of 4 bytes, large ones of 8, and texts."""

    def ask(name):
        value = facts.get(name.replace(".", "_"))
        if value is None:
            return b""
        if isinstance(value, str):
            return value.encode() + b"\0"
        return value.to_bytes(8 if value > 0xFFFFFFFF else 4, "little")

    return ask


def mac(chip, gigabytes, cores, **more):
    return kernel(
        hw_optional_arm64=1,
        machdep_cpu_brand_string=chip,
        hw_memsize=gigabytes * GIB,
        hw_physicalcpu=cores,
        **more,
    )


def probe(ask, free=200 * GIB):
    return Apple(ask, lambda: Space("Memory", 0, free)).probe()


def test_that_an_m3_shares_two_thirds_of_its_memory():
    (gpu,) = probe(mac("Apple M3", 16, 8)).gpus
    assert (gpu.name, gpu.device, gpu.shared) == ("Apple M3", "mps:0", True)
    assert gpu.total // 1000**2 == 11453  # as llama.cpp logs it: 11453.25 MB
    assert gpu.bandwidth == 100e9


@pytest.mark.parametrize(
    ("gigabytes", "logged"),
    [(16, 11453.25), (32, 22906.50), (36, 28991.03), (64, 51539.61)],
)
def test_that_the_share_is_what_metal_recommends(gigabytes, logged):
    assert working_set(gigabytes * GIB) / 1e6 == pytest.approx(logged, abs=0.01)


@pytest.mark.parametrize(
    ("chip", "cores", "speed"),
    [
        ("Apple M1", 8, 68),
        ("Apple M3 Max", 14, 300),
        ("Apple M3 Max", 16, 400),
        ("Apple M4 Max", 14, 410),
        ("Apple M4 Max", 16, 546),
        ("Apple M2 Ultra", 24, 800),
        ("Apple M9 Giga", 99, 0),
    ],
)
def test_that_chips_of_one_name_differ_by_their_cores(chip, cores, speed):
    assert probe(mac(chip, 64, cores)).gpus[0].bandwidth == speed * 1e9


def test_that_a_limit_set_by_hand_counts():
    (gpu,) = probe(mac("Apple M2 Max", 96, 12, iogpu_wired_limit_mb=90112)).gpus
    assert gpu.total == 90112 << 20


def test_that_no_more_is_free_than_the_computer_has_free():
    (gpu,) = probe(mac("Apple M3", 16, 8), free=3 * GIB).gpus
    assert gpu.free == 3 * GIB


def test_that_an_intel_mac_has_no_such_graphics():
    found = probe(kernel(machdep_cpu_brand_string="Intel(R) Core(TM) i9", hw_memsize=32 * GIB))
    assert (found.gpus, found.problems) == ((), ())


def test_that_a_translated_python_is_said():
    found = probe(kernel(sysctl_proc_translated=1, hw_memsize=16 * GIB))
    assert found.gpus == ()
    assert "install Python for Apple silicon" in found.problems[0]


def test_that_other_systems_have_no_such_kernel():
    assert Apple().probe().gpus == () or __import__("sys").platform == "darwin"
