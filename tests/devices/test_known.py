import pytest

from app.core.errors import Unsupported
from app.core.machine import Machine
from app.devices.catalogue import CARDS, CHIPS, bandwidth, find_cards
from app.devices.known import imagine

GIB = 1 << 30


@pytest.mark.parametrize(
    ("text", "name", "gigabytes"),
    [
        ("RTX 4090", "RTX 4090", 24),
        ("rtx4090", "RTX 4090", 24),
        ("4090", "RTX 4090", 24),
        ("NVIDIA GeForce RTX 4090", "RTX 4090", 24),
        ("RTX 3060", "RTX 3060", 12),
        ("RTX 3060 8 GB", "RTX 3060", 8),
        ("RTX 4060 Ti", "RTX 4060 Ti", 8),
        ("rtx 4060 ti 16gb", "RTX 4060 Ti", 16),
        ("RTX 4060 Ti (16 GB)", "RTX 4060 Ti", 16),
        ("RTX 4060 Laptop", "RTX 4060 Laptop", 8),
        ("RTX 6000 Ada Generation", "RTX 6000 Ada", 48),
        ("RTX PRO 6000", "RTX PRO 6000 Blackwell", 96),
        ("AMD Radeon RX 7900 XTX", "RX 7900 XTX", 24),
        ("9070 xt", "RX 9070 XT", 16),
        ("Radeon VII", "Radeon VII", 16),
        ("Intel Arc B580", "Arc B580", 12),
        ("a770", "Arc A770", 16),
    ],
)
def test_that_a_card_is_known_however_it_is_written(text, name, gigabytes):
    machine = imagine(text)
    (gpu,) = machine.gpus
    assert (gpu.name, gpu.total) == (name, gigabytes * GIB)
    assert 0 < gpu.free < gpu.total
    assert gpu.bandwidth > 100e9
    assert machine.simulated.startswith(name)


@pytest.mark.parametrize("text", ["2x RTX 3090", "2 x 3090", "RTX 3090 x2", "2× rtx 3090 24 GB"])  # noqa: RUF001
def test_that_two_cards_are_two_cards(text):
    machine = imagine(text)
    assert [(gpu.name, gpu.device) for gpu in machine.gpus] == [
        ("RTX 3090", "cuda:0"),
        ("RTX 3090", "cuda:1"),
    ]
    assert machine.simulated == "2x RTX 3090 24 GB + 32 GB memory"


def test_that_each_maker_has_numbers_of_its_own():
    machine = imagine("RTX 4090 + Arc B580 + RTX 3090")
    assert [gpu.device for gpu in machine.gpus] == ["cuda:0", "xpu:0", "cuda:1"]


def test_that_different_cards_and_memory_can_be_together():
    machine = imagine("RTX 4090 + RTX 3060 12 GB, 64 GB RAM")
    assert [gpu.total // GIB for gpu in machine.gpus] == [24, 12]
    assert machine.memory.total == 64 * GIB


@pytest.mark.parametrize(
    ("text", "chip", "gigabytes"),
    [
        ("Mac 32 GB", "M4", 32),
        ("mac 192gb", "M2 Ultra", 192),
        ("M3 Max 64 GB", "M3 Max", 64),
        ("MacBook Pro M4 Pro", "M4 Pro", 24),
        ("macbook air m2 8 gb", "M2", 8),
        ("Apple M1", "M1", 8),
        ("M3 Max + 64 GB", "M3 Max", 64),
        ("Mac Studio 512 GB", "M3 Ultra", 512),
    ],
)
def test_that_a_mac_shares_its_memory(text, chip, gigabytes):
    machine = imagine(text)
    (gpu,) = machine.gpus
    assert machine.simulated == f"{chip} {gigabytes} GB"
    assert machine.memory.total == gigabytes * GIB
    assert gpu.shared
    assert gpu.free <= gpu.total < machine.memory.total
    assert gpu.free <= machine.memory.free


@pytest.mark.parametrize("gigabytes", [8, 16, 18, 24, 32, 36, 48, 64, 96, 128, 192])
def test_that_every_usual_mac_is_there(gigabytes):
    assert imagine(f"Mac {gigabytes} GB").memory.total == gigabytes * GIB


def test_that_the_faster_of_two_chips_needs_its_memory():
    assert imagine("M3 Max 36 GB").gpus[0].bandwidth == 300e9
    assert imagine("M3 Max 128 GB").gpus[0].bandwidth == 400e9


@pytest.mark.parametrize("text", ["16 GB", "16gb", "16 GB RAM", "laptop 16 GB", "PC 16 GB memory"])
def test_that_a_plain_computer_has_only_memory(text):
    machine = imagine(text)
    assert (machine.gpus, machine.memory.total) == ((), 16 * GIB)
    assert 11 * GIB < machine.memory.free < 16 * GIB
    assert machine.simulated == "16 GB memory"


def test_that_graphics_without_memory_of_their_own_take_the_computers():
    machine = imagine("Radeon 8060S 64 GB")
    assert machine.memory.total == 64 * GIB
    assert machine.gpus[0].shared
    assert machine.gpus[0].total == 48 * GIB


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("RTX 4080 Ti", "RTX 4080"),
        ("RTX 4900", "RTX 4090"),
        ("RX 7900 XXX", "RX 7900 XTX"),
        ("M9 Max", "M3 Max"),
        ("RTX 4060 16 GB", "It has 8 GB"),
        ("M1 256 GB", "8, 16 GB"),
        ("banana", "RTX 4060 Ti 16 GB"),
        ("", "RTX 4060 Ti 16 GB"),
        ("+", "RTX 4060 Ti 16 GB"),
        ("RTX 4090 + M3", "Name one Mac, or graphics cards"),
        ("M2 + M3", "Name one Mac, or graphics cards"),
        ("0 GB", "16 GB"),
        ("999999 GB", "16 GB"),
        ("x" * 5000, "RTX 4060 Ti 16 GB"),
        ("9" * 5000 + " GB", "RTX 4060 Ti 16 GB"),
        ("RTX\n5555 \0", "RTX 4060 Ti 16 GB"),
    ],
)
def test_that_the_unknown_is_refused_with_what_is_near(text, near):
    with pytest.raises(Unsupported) as caught:
        imagine(text)
    assert near in caught.value.hint


@pytest.mark.parametrize(
    "text", ["2x 3090 + 4060 ti", "M3 Max 128 GB", "mac 36 gb", "16 GB", "8060S", "GB10 64 GB"]
)
def test_that_its_name_describes_the_same_computer(text):
    machine = imagine(text)
    assert imagine(machine.simulated) == machine


def test_that_an_imagined_computer_crosses_between_processes():
    machine = imagine("2x RTX 5090 + 128 GB")
    assert Machine.from_json(machine.to_json()) == machine


def test_that_every_row_can_be_named_and_has_sane_figures():
    for card in CARDS:
        text = card.name if card.shared else f"{card.name} {card.gigabytes} GB"
        (gpu,) = imagine(text).gpus
        assert gpu.bandwidth == card.speed * 1e9
        assert 100 <= card.speed <= 8000
        assert (card.vendor == "nvidia") == (card.capability is not None)
    for chip in CHIPS:
        for gigabytes in chip.gigabytes:
            assert imagine(f"{chip.name} {gigabytes} GB").memory.total == gigabytes * GIB


def test_that_no_row_is_there_twice():
    assert len({(card.name, card.gigabytes) for card in CARDS}) == len(CARDS)
    assert len(find_cards("RTX 4060 Ti")) == 2


# Width of the bus in bits and transfers in Gbit/s per line, from the makers' data sheets.
BUSES = {
    "RTX 3060 Ti": (256, 14),
    "RTX 3070 Ti": (256, 19),
    "RTX 3080": (320, 19),
    "RTX 4060": (128, 17),
    "RTX 4060 Ti": (128, 18),
    "RTX 4070 Ti SUPER": (256, 21),
    "RTX 4080 SUPER": (256, 23),
    "RTX 4090": (384, 21),
    "RTX 5060 Ti": (128, 28),
    "RTX 5070": (192, 28),
    "RTX 5080": (256, 30),
    "RTX 5090": (512, 28),
    "RTX A6000": (384, 16),
    "RTX PRO 6000 Blackwell": (512, 28),
    "RX 6600": (128, 14),
    "RX 6800 XT": (256, 16),
    "RX 7600": (128, 18),
    "RX 7800 XT": (256, 19.5),
    "RX 7900 XT": (320, 20),
    "RX 7900 XTX": (384, 20),
    "RX 9060 XT": (128, 20),
    "RX 9070 XT": (256, 20),
    "Arc A750": (256, 16),
    "Arc B580": (192, 19),
    "Arc Pro B50": (128, 14),
}


@pytest.mark.parametrize("name", BUSES)
def test_that_bandwidths_follow_from_bus_and_memory(name):
    bits, rate = BUSES[name]
    commonest = find_cards(name)[0].gigabytes * GIB
    assert bandwidth(name, commonest) == pytest.approx(bits / 8 * rate * 1e9, rel=0.01)
