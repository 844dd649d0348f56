import struct

import pytest

from app.core.machine import Space
from app.devices import pci
from app.devices.amd import Amd
from app.devices.dxgi import Adapter

MIB, GIB = 1 << 20, 1 << 30


def metrics(revision):
    """The head of the driver's table of sensors."""
    return struct.pack("<HBB", 128, revision, 1) + bytes(124)


def memory(vram, gtt, vram_used=0, gtt_used=0):
    return {
        "mem_info_vram_total": vram,
        "mem_info_vram_used": vram_used,
        "mem_info_gtt_total": gtt,
        "mem_info_gtt_used": gtt_used,
    }


def add_7900(linux, address="0000:03:00.0"):
    linux.card(
        address,
        pci.AMD,
        0x744C,
        "amdgpu",
        revision=0xC8,
        gpu_metrics=metrics(1),
        mem_busy_percent=0,
        **memory(24560 * MIB, 16 * GIB, vram_used=560 * MIB),
    )


def add_780m(linux, address="0000:c4:00.0"):
    linux.card(
        address,
        pci.AMD,
        0x15BF,
        "amdgpu",
        kind=0x038000,
        gpu_metrics=metrics(2),
        **memory(512 * MIB, 14 * GIB, vram_used=112 * MIB, gtt_used=2 * GIB),
    )


@pytest.fixture
def names(linux):
    linux.file(
        "usr/share/libdrm/amdgpu.ids",
        "# List\n744C,\tC8,\tAMD Radeon RX 7900 XTX\n744C,\tCC,\tAMD Radeon RX 7900 XT",
    )
    linux.file(
        "usr/share/hwdata/pci.ids",
        "# List\n"
        "1001  Kolter Electronic\n\t744c  Somebody else's\n"
        "1002  Advanced Micro Devices, Inc. [AMD/ATI]\n"
        "\t15bf  Phoenix1\n\t\t1002 0124  A board\n"
        "\t1586  Strix Halo [Radeon Graphics / Radeon 8060S Graphics]\n"
        "1003  ULSI Systems\n",
    )


def test_that_a_card_has_its_own_memory_and_nothing_more(linux, ram, names):
    add_7900(linux)
    linux.compute_node(0, gpu=0)
    linux.compute_node(1, location=0x0300)
    (gpu,) = Amd(linux.root, tuple, ram).probe().gpus
    assert (gpu.name, gpu.device, gpu.driver) == ("AMD Radeon RX 7900 XTX", "cuda:0", "amdgpu")
    assert (gpu.total, gpu.free) == (24560 * MIB, 24000 * MIB)
    assert not gpu.shared
    assert gpu.bandwidth == 960e9


def test_that_a_small_card_in_a_large_computer_borrows_nothing(linux, ram):
    linux.card(
        "0000:03:00.0",
        pci.AMD,
        0x73FF,
        "amdgpu",
        gpu_metrics=metrics(1),
        **memory(8 * GIB, 32 * GIB),
    )
    (gpu,) = Amd(linux.root, tuple, ram).probe().gpus
    assert (gpu.total, gpu.shared) == (8 * GIB, False)


def test_that_a_processors_graphics_have_what_they_may_borrow(linux, ram, names):
    add_780m(linux)
    (gpu,) = Amd(linux.root, tuple, ram).probe().gpus
    assert gpu.shared
    assert gpu.name == "AMD Phoenix1"
    assert (gpu.total, gpu.free) == (512 * MIB + 14 * GIB, 400 * MIB + 12 * GIB)
    assert gpu.device == ""  # the kernel offers no computing here


def test_that_nothing_is_borrowed_that_other_programs_have(linux, names):
    add_780m(linux)
    crowded = Amd(linux.root, tuple, lambda: Space("Memory", 28 * GIB, 3 * GIB))
    assert crowded.probe().gpus[0].free == 400 * MIB + 3 * GIB


def test_that_a_large_share_set_aside_is_memory_of_its_own(linux, ram, names):
    linux.card(
        "0000:c5:00.0",
        pci.AMD,
        0x1586,
        "amdgpu",
        kind=0x038000,
        gpu_metrics=metrics(3),
        **memory(96 * GIB, 16 * GIB, vram_used=GIB),
    )
    (gpu,) = Amd(linux.root, tuple, ram).probe().gpus
    assert (gpu.total, gpu.free, gpu.shared) == (96 * GIB, 95 * GIB, False)
    assert "8060S" in gpu.name


def test_that_card_and_processor_are_numbered_as_rocm_does(linux, ram, names):
    add_7900(linux)
    add_780m(linux)
    linux.compute_node(0, gpu=0)
    linux.compute_node(1, location=0xC400)
    linux.compute_node(2, location=0x0300)
    found = Amd(linux.root, tuple, ram).probe()
    assert [(gpu.device, gpu.shared) for gpu in found.gpus] == [("cuda:1", False), ("cuda:0", True)]


def test_that_more_than_ten_compute_nodes_keep_their_order(linux, ram, names):
    for bus in range(1, 13):
        add_7900(linux, f"0000:{bus:02x}:00.0")
        linux.compute_node(bus, location=bus << 8)
    found = Amd(linux.root, tuple, ram).probe()
    assert [gpu.device for gpu in found.gpus] == [f"cuda:{number}" for number in range(12)]


@pytest.mark.parametrize("busy", [True, False])
def test_that_old_kernels_without_sensors_still_tell_card_from_processor(busy, linux, ram):
    extra = {"mem_busy_percent": 0} if busy else {}
    linux.card("0000:05:00.0", pci.AMD, 0x15D8, "amdgpu", **extra, **memory(2 * GIB, 7 * GIB))
    (gpu,) = Amd(linux.root, tuple, ram).probe().gpus
    assert gpu.shared is not busy


def test_that_a_card_without_its_driver_is_said(linux, ram, names):
    linux.card("0000:03:00.0", pci.AMD, 0x744C, "vfio-pci", revision=0xC8)
    found = Amd(linux.root, tuple, ram).probe()
    assert found.gpus == ()
    (said,) = found.problems
    assert said.startswith("AMD Radeon RX 7900 XTX does not say how much memory it has")


def test_that_the_firmwares_name_comes_first_and_a_number_last(linux, ram):
    linux.card("0000:03:00.0", pci.AMD, 0x9999, "amdgpu", **memory(GIB, GIB))
    linux.card(
        "0000:04:00.0", pci.AMD, 0x740F, "amdgpu", product_name="Instinct MI210", **memory(GIB, GIB)
    )
    names = [gpu.name for gpu in Amd(linux.root, tuple, ram).probe().gpus]
    assert names == ["AMD graphics 9999", "AMD Instinct MI210"]


def test_that_nothing_is_found_where_there_is_nothing(linux, ram):
    found = Amd(linux.root, tuple, ram).probe()
    assert (found.gpus, found.problems) == ((), ())


def test_that_windows_tells_own_and_borrowed_memory_apart(linux, ram):
    listed = (
        Adapter("AMD Radeon RX 6800 XT", pci.AMD, 16 * GIB, 16 * GIB, 15 * GIB),
        Adapter("AMD Radeon(TM) Graphics", pci.AMD, 512 * MIB, 16 * GIB, 14 * GIB),
        Adapter("NVIDIA GeForce RTX 3060", pci.NVIDIA, 12 * GIB, 16 * GIB),
    )
    card, part = Amd(linux.root, lambda: listed, ram).on_windows().gpus
    assert (card.total, card.free, card.shared) == (16 * GIB, 15 * GIB, False)
    assert card.bandwidth == 512e9
    assert (part.total, part.shared) == (16 * GIB + 512 * MIB, True)
    assert part.free <= part.total
    assert (card.device, part.device) == ("", "")
