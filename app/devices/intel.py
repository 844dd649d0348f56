"""Intel's Arc cards and the graphics of Intel processors.

On Linux the drivers (i915, xe) tell ordinary programs how large a card's memory is at
best, and never how much of it is used; on Windows, DXGI.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from typing_extensions import override

from app.core.machine import Gpu, Space
from app.devices import catalogue, dxgi, pci
from app.devices.base import Found, Vendor
from app.devices.memory import memory

_INTEGRATED = "0000:00:02.0"
"""The address of a processor's graphics, on every Intel processor."""

_CARDS = {
    0x56A0: ("Arc A770", 16),
    0x56A1: ("Arc A750", 8),
    0x56A2: ("Arc A580", 8),
    0x56A5: ("Arc A380", 6),
    0x56A6: ("Arc A310", 4),
    0x5690: ("Arc A770M", 16),
    0x5691: ("Arc A730M", 12),
    0x5692: ("Arc A550M", 8),
    0x5693: ("Arc A370M", 4),
    0x5694: ("Arc A350M", 4),
    0xE20B: ("Arc B580", 12),
    0xE20C: ("Arc B570", 10),
    0xE211: ("Arc Pro B60", 24),
    0xE212: ("Arc Pro B50", 16),
}
"""Name and GiB by PCI number, for kernels that do not tell."""

_RANGE = re.compile(r"^0x([0-9a-f]+) 0x([0-9a-f]+)", re.MULTILINE)
"""First and last address in a line of the kernel's list; an unused line is a single byte."""

_SMALLEST_CARD = 1 << 30
"""Windows gives processors' graphics 128 MB of their own; no card has less than this."""


class Intel(Vendor):
    """Reads sysfs on Linux and DXGI on Windows.

    Args:
        root: Of the file system.
        adapters: What Windows lists.
        ram: The computer's memory, which processors' graphics share.
    """

    name: ClassVar[str] = "intel"

    def __init__(
        self,
        root: Path = Path("/"),
        adapters: Callable[[], tuple[dxgi.Adapter, ...]] = dxgi.adapters,
        ram: Callable[[], Space] = memory,
    ) -> None:
        self._root = root
        self._adapters = adapters
        self._ram = ram

    @override
    def probe(self) -> Found:
        if sys.platform == "win32":
            return self.on_windows()
        gpus: list[Gpu] = []
        problems: list[str] = []
        for card in pci.display_cards(self._root, pci.INTEL):
            name = _name(self._root, card)
            if card.address == _INTEGRATED:
                gpus.append(self._shared(name, self._ram().total * 3 // 4, card.driver))
            elif total := _memory(card):
                gpus.append(self._card(name, total, total, card.driver))
            else:
                problems.append(f"{name} does not say how much memory it has.")
        return Found(tuple(_numbered(gpus)), tuple(problems))

    def on_windows(self) -> Found:
        """The same, by DXGI."""
        gpus: list[Gpu] = []
        for adapter in self._adapters():
            if adapter.vendor != pci.INTEL:
                continue
            if adapter.dedicated < _SMALLEST_CARD:
                gpus.append(self._shared(adapter.name, adapter.shared, ""))
            else:
                free = adapter.budget or adapter.dedicated
                gpus.append(self._card(adapter.name, adapter.dedicated, free, ""))
        return Found(tuple(_numbered(gpus)))

    def _shared(self, name: str, total: int, driver: str) -> Gpu:
        free = min(total, self._ram().free)
        return Gpu(name, self.name, "", total, free, shared=True, driver=driver)

    def _card(self, name: str, total: int, free: int, driver: str) -> Gpu:
        speed = catalogue.bandwidth(name, total)
        return Gpu(name, self.name, "", total, min(free, total), bandwidth=speed, driver=driver)


def _numbered(gpus: list[Gpu]) -> list[Gpu]:
    """With PyTorch's numbers: cards come before a processor's graphics."""
    ordered = sorted(gpus, key=lambda gpu: gpu.shared)
    return [replace(gpu, device=f"xpu:{number}") for number, gpu in enumerate(ordered)]


def _memory(card: pci.PciCard) -> int:
    """Bytes of a card's own memory; 0 when neither the kernel nor our list knows it."""
    tiles = [
        pci.read_int(place / "physical_vram_size_bytes") or 0  # xe
        for pattern in ("tile*", "tile*/memory")
        for place in card.folder.glob(pattern)
    ]
    if any(tiles):
        return sum(tiles)
    for place in (card.folder, *card.folder.glob("drm/card*")):  # i915
        if total := pci.read_int(place / "lmem_total_bytes"):
            return total
    listed = _CARDS.get(card.device, ("", 0))[1] * catalogue.GIB
    window = _window(card.folder)
    # An A770 is sold with 8 GB, too; its window is as large as its memory then.
    return min(listed, window) if window >= 2 * catalogue.GIB else listed


def _window(folder: Path) -> int:
    """Size of the largest address range of the card: all its memory with resizable BAR."""
    ranges = _RANGE.findall(pci.read_text(folder / "resource"))
    return max((int(last, 16) - int(first, 16) + 1 for first, last in ranges), default=0)


@lru_cache(maxsize=16)
def _name(root: Path, card: pci.PciCard) -> str:
    listed = _CARDS.get(card.device, ("", 0))[0] or pci.listed_name(root, pci.INTEL, card.device)
    return f"Intel {listed}" if listed else f"Intel graphics {card.device:04x}"
