"""Graphics cards and Apple chips by name: what a computer that is not here would have.

Memory in GiB as sold, bandwidth in GB/s (10**9) as the makers' data sheets say. Of cards
with one name and several memories the commoner comes first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Card:
    """A graphics card with memory of its own, or a processor's graphics that share it."""

    name: str
    vendor: str
    gigabytes: int
    speed: float
    """GB/s"""
    capability: tuple[int, int] | None = None
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Chip:
    """An Apple chip, with the memories it is sold with."""

    name: str
    speed: float
    """GB/s"""
    gigabytes: tuple[int, ...]
    cores: int = 0
    """Of the processor, where one name has two speeds; 0 for any."""


def _nvidia(capability: tuple[int, int], *rows: tuple[str, int, float]) -> list[Card]:
    return [Card(name, "nvidia", size, speed, capability) for name, size, speed in rows]


def _of(vendor: str, *rows: tuple[str, int, float]) -> list[Card]:
    return [Card(name, vendor, size, speed) for name, size, speed in rows]


CARDS: tuple[Card, ...] = (
    *_nvidia(
        (6, 1),
        ("GTX 1060", 6, 192),
        ("GTX 1070", 8, 256),
        ("GTX 1080", 8, 320),
        ("GTX 1080 Ti", 11, 484),
        ("Tesla P40", 24, 347),
    ),
    *_nvidia((7, 0), ("Tesla V100", 16, 900), ("Tesla V100", 32, 900)),
    *_nvidia(
        (7, 5),
        ("GTX 1650", 4, 128),
        ("GTX 1660 Ti", 6, 288),
        ("GTX 1660 SUPER", 6, 336),
        ("RTX 2060", 6, 336),
        ("RTX 2060", 12, 336),
        ("RTX 2060 SUPER", 8, 448),
        ("RTX 2070", 8, 448),
        ("RTX 2070 SUPER", 8, 448),
        ("RTX 2080", 8, 448),
        ("RTX 2080 SUPER", 8, 496),
        ("RTX 2080 Ti", 11, 616),
        ("Tesla T4", 16, 320),
    ),
    *_nvidia(
        (8, 0),
        ("A100", 40, 1555),
        ("A100", 80, 1935),
    ),
    *_nvidia(
        (8, 6),
        ("RTX 3050", 8, 224),
        ("RTX 3050", 6, 168),
        ("RTX 3060", 12, 360),
        ("RTX 3060", 8, 240),
        ("RTX 3060 Laptop", 6, 336),
        ("RTX 3060 Ti", 8, 448),
        ("RTX 3070", 8, 448),
        ("RTX 3070 Laptop", 8, 448),
        ("RTX 3070 Ti", 8, 608),
        ("RTX 3080", 10, 760),
        ("RTX 3080", 12, 912),
        ("RTX 3080 Ti", 12, 912),
        ("RTX 3090", 24, 936),
        ("RTX 3090 Ti", 24, 1008),
        ("RTX A2000", 6, 288),
        ("RTX A2000", 12, 288),
        ("RTX A4000", 16, 448),
        ("RTX A5000", 24, 768),
        ("RTX A6000", 48, 768),
        ("A10", 24, 600),
    ),
    *_nvidia(
        (8, 9),
        ("RTX 4050 Laptop", 6, 192),
        ("RTX 4060", 8, 272),
        ("RTX 4060 Laptop", 8, 256),
        ("RTX 4060 Ti", 8, 288),
        ("RTX 4060 Ti", 16, 288),
        ("RTX 4070", 12, 504),
        ("RTX 4070 Laptop", 8, 256),
        ("RTX 4070 SUPER", 12, 504),
        ("RTX 4070 Ti", 12, 504),
        ("RTX 4070 Ti SUPER", 16, 672),
        ("RTX 4080", 16, 717),
        ("RTX 4080 Laptop", 12, 432),
        ("RTX 4080 SUPER", 16, 736),
        ("RTX 4090", 24, 1008),
        ("RTX 4090 Laptop", 16, 576),
        ("RTX 2000 Ada", 16, 224),
        ("RTX 4000 Ada", 20, 360),
        ("RTX 4500 Ada", 24, 432),
        ("RTX 5000 Ada", 32, 576),
        ("RTX 6000 Ada", 48, 960),
        ("L4", 24, 300),
        ("L40S", 48, 864),
    ),
    *_nvidia(
        (9, 0),
        ("H100", 80, 3352),
        ("H100 PCIe", 80, 2039),
        ("H200", 141, 4800),
    ),
    *_nvidia((10, 0), ("B200", 180, 8000)),
    *_nvidia(
        (12, 0),
        ("RTX 5050", 8, 320),
        ("RTX 5060", 8, 448),
        ("RTX 5060 Laptop", 8, 384),
        ("RTX 5060 Ti", 8, 448),
        ("RTX 5060 Ti", 16, 448),
        ("RTX 5070", 12, 672),
        ("RTX 5070 Laptop", 8, 384),
        ("RTX 5070 Ti", 16, 896),
        ("RTX 5070 Ti Laptop", 12, 672),
        ("RTX 5080", 16, 960),
        ("RTX 5080 Laptop", 16, 896),
        ("RTX 5090", 32, 1792),
        ("RTX 5090 Laptop", 24, 896),
        ("RTX PRO 4000 Blackwell", 24, 672),
        ("RTX PRO 4500 Blackwell", 32, 896),
        ("RTX PRO 5000 Blackwell", 48, 1344),
        ("RTX PRO 6000 Blackwell", 96, 1792),
    ),
    Card("GB10", "nvidia", 128, 273, (12, 1), shared=True),  # DGX Spark
    *_of(
        "amd",
        ("RX 580", 8, 256),
        ("RX 5700 XT", 8, 448),
        ("RX 6600", 8, 224),
        ("RX 6600 XT", 8, 256),
        ("RX 6650 XT", 8, 280),
        ("RX 6700 XT", 12, 384),
        ("RX 6750 XT", 12, 432),
        ("RX 6800", 16, 512),
        ("RX 6800 XT", 16, 512),
        ("RX 6900 XT", 16, 512),
        ("RX 6950 XT", 16, 576),
        ("RX 7600", 8, 288),
        ("RX 7600 XT", 16, 288),
        ("RX 7700 XT", 12, 432),
        ("RX 7800 XT", 16, 624),
        ("RX 7900 GRE", 16, 576),
        ("RX 7900 XT", 20, 800),
        ("RX 7900 XTX", 24, 960),
        ("RX 9060 XT", 16, 320),
        ("RX 9060 XT", 8, 320),
        ("RX 9070 GRE", 12, 432),
        ("RX 9070", 16, 640),
        ("RX 9070 XT", 16, 640),
        ("Radeon VII", 16, 1024),
        ("PRO W7800", 32, 576),
        ("PRO W7900", 48, 864),
        ("AI PRO R9700", 32, 640),
        ("Instinct MI300X", 192, 5300),
    ),
    Card("Radeon 8060S", "amd", 128, 256, shared=True),  # Ryzen AI Max+ 395
    *_of(
        "intel",
        ("Arc A310", 4, 124),
        ("Arc A380", 6, 186),
        ("Arc A580", 8, 512),
        ("Arc A750", 8, 512),
        ("Arc A770", 16, 560),
        ("Arc A770", 8, 512),
        ("Arc B570", 10, 380),
        ("Arc B580", 12, 456),
        ("Arc Pro B50", 16, 224),
        ("Arc Pro B60", 24, 456),
    ),
)

CHIPS: tuple[Chip, ...] = (
    Chip("M1", 68, (8, 16)),
    Chip("M1 Pro", 200, (16, 32)),
    Chip("M1 Max", 400, (32, 64)),
    Chip("M1 Ultra", 800, (64, 128)),
    Chip("M2", 100, (8, 16, 24)),
    Chip("M2 Pro", 200, (16, 32)),
    Chip("M2 Max", 400, (32, 64, 96)),
    Chip("M2 Ultra", 800, (64, 128, 192)),
    Chip("M3", 100, (8, 16, 24)),
    Chip("M3 Pro", 150, (18, 36)),
    Chip("M3 Max", 300, (36, 96), cores=14),
    Chip("M3 Max", 400, (48, 64, 128), cores=16),
    Chip("M3 Ultra", 819, (96, 256, 512)),
    Chip("M4", 120, (16, 24, 32)),
    Chip("M4 Pro", 273, (24, 48, 64)),
    Chip("M4 Max", 410, (36,), cores=14),
    Chip("M4 Max", 546, (48, 64, 128), cores=16),
    Chip("M5", 153, (16, 24, 32)),
    Chip("M5 Pro", 307, (24, 48, 64)),
    Chip("M5 Max", 460, (36, 48, 64, 128)),  # 614 with the larger graphics part
)

_BRANDS = re.compile(
    r"nvidia|geforce|quadro|\bamd\b|radeon(?!\s+vii)|intel|apple|\(r\)|\(tm\)|\bgraphics\b|\bgpu\b"
    r"|\bgeneration\b|\bblackwell\b|\bworkstation\b|\bedition\b"
)
_SERIES = re.compile(r"^(rtx|gtx|rx|arc|tesla|instinct)(?=[a-z]?\d)")


def key(name: str) -> str:
    """A card's name as everybody writes it differently: letters and digits without the brand."""
    return re.sub(r"[^a-z0-9]", "", _BRANDS.sub(" ", name.lower()))


def short_key(name: str) -> str:
    """The key without the series: "4090"."""
    return _SERIES.sub("", key(name))


def find_cards(name: str) -> list[Card]:
    """All memories in which a card is sold; empty when it is not listed."""
    wanted = key(name)
    exact = [card for card in CARDS if key(card.name) == wanted]
    return exact or [card for card in CARDS if wanted and short_key(card.name) == wanted]


def bandwidth(name: str, total: int) -> float:
    """Bytes a second of the card with this name and about this memory; 0 when not listed."""
    found = find_cards(name)
    if not found:
        return 0.0
    return min(found, key=lambda card: abs(card.gigabytes * GIB - total)).speed * 1e9


def find_chips(name: str) -> list[Chip]:
    """The Apple chips of this name; more than one where their speeds differ."""
    return [chip for chip in CHIPS if key(chip.name) == key(name)]
