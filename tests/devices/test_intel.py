from app.devices import pci
from app.devices.dxgi import Adapter
from app.devices.intel import Intel

MIB, GIB = 1 << 20, 1 << 30
IGPU = "0000:00:02.0"


def window(nbytes):
    """Lines of a card's address ranges as the kernel writes them."""
    low = 0x6000000000
    return (
        "0x0000000084000000 0x0000000084ffffff 0x0000000000140204\n"
        "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
        f"0x{low:016x} 0x{low + nbytes - 1:016x} 0x000000000014220c"
    )


def test_that_card_and_processor_are_told_apart(linux, ram):
    linux.card(IGPU, pci.INTEL, 0x4680, "i915")
    linux.card("0000:03:00.0", pci.INTEL, 0x56A0, "i915", resource=window(16 * GIB))
    found = Intel(linux.root, tuple, ram).probe()
    card, part = found.gpus
    assert (card.name, card.device, card.total) == ("Intel Arc A770", "xpu:0", 16 * GIB)
    assert (card.shared, card.bandwidth) == (False, 560e9)
    assert (part.device, part.shared) == ("xpu:1", True)
    assert (part.total, part.free) == (24 * GIB, 20 * GIB)
    assert part.driver == "i915"
    assert found.problems == ()


def test_that_the_smaller_a770_is_known_by_its_window(linux, ram):
    linux.card("0000:03:00.0", pci.INTEL, 0x56A0, "i915", resource=window(8 * GIB))
    (gpu,) = Intel(linux.root, tuple, ram).probe().gpus
    assert (gpu.total, gpu.bandwidth) == (8 * GIB, 512e9)


def test_that_a_small_window_says_nothing_about_the_memory(linux, ram):
    linux.card("0000:03:00.0", pci.INTEL, 0x56A0, "i915", resource=window(256 * MIB))
    assert Intel(linux.root, tuple, ram).probe().gpus[0].total == 16 * GIB


def test_that_the_kernels_figure_comes_first(linux, ram):
    exact = 12216 * MIB
    linux.card(
        "0000:03:00.0",
        pci.INTEL,
        0xE20B,
        "xe",
        resource=window(16 * GIB),
        tile0__physical_vram_size_bytes=exact,
    )
    linux.card("0000:04:00.0", pci.INTEL, 0x56A5, "i915", drm__card1__lmem_total_bytes=6064 * MIB)
    found = Intel(linux.root, tuple, ram).probe()
    assert [gpu.total for gpu in found.gpus] == [exact, 6064 * MIB]


def test_that_a_card_of_unknown_size_is_said_not_guessed(linux, ram):
    linux.card("0000:03:00.0", pci.INTEL, 0xFFF0, "xe", resource=window(16 * GIB))
    found = Intel(linux.root, tuple, ram).probe()
    assert found.gpus == ()
    assert found.problems == ("Intel graphics fff0 does not say how much memory it has.",)


def test_that_an_audio_device_of_intel_is_no_card(linux, ram):
    linux.card("0000:00:1f.3", pci.INTEL, 0x7AD0, "snd_hda_intel", kind=0x040380)
    assert Intel(linux.root, tuple, ram).probe().gpus == ()


def test_that_windows_tells_arc_from_a_processors_graphics(linux, ram):
    listed = (
        Adapter("Intel(R) UHD Graphics 770", pci.INTEL, 128 * MIB, 16 * GIB, 15 * GIB),
        Adapter("Intel(R) Arc(TM) B580 Graphics", pci.INTEL, 12216 * MIB, 16 * GIB, 11 * GIB),
        Adapter("AMD Radeon(TM) Graphics", pci.AMD, 512 * MIB, 16 * GIB),
    )
    card, part = Intel(linux.root, lambda: listed, ram).on_windows().gpus
    assert (card.total, card.free, card.shared) == (12216 * MIB, 11 * GIB, False)
    assert card.bandwidth == 456e9
    assert (part.total, part.free, part.shared) == (16 * GIB, 16 * GIB, True)
