"""AMD cards and the graphics of AMD processors.

On Linux the driver (amdgpu) tells everything in files; on Windows, DXGI.
"""

from __future__ import annotations

import re
import struct
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from typing_extensions import override

from app.core.machine import Gpu, Space
from app.devices import catalogue, dxgi, pci
from app.devices.base import Found, Vendor
from app.devices.memory import memory as system_memory
from app.devices.memory import unified

_DISCRETE = re.compile(r"\bRX\b|\bPro\b|\bVII\b|\bFirePro\b|\bInstinct\b", re.IGNORECASE)
"""In the names of AMD's cards and of none of its processors' graphics."""


class Amd(Vendor):
    """Reads sysfs, which needs the driver that Linux has, but neither ROCm nor torch.

    Args:
        root: Of the file system.
        adapters: What Windows lists.
        ram: The computer's memory, for graphics that share it.
    """

    name: ClassVar[str] = "amd"

    def __init__(
        self,
        root: Path = Path("/"),
        adapters: Callable[[], tuple[dxgi.Adapter, ...]] = dxgi.adapters,
        ram: Callable[[], Space] = system_memory,
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
        numbers = _rocm_numbers(self._root)
        for card in pci.display_cards(self._root, pci.AMD):
            name = _name(self._root, card)
            space = self._space(card)
            if space is None:
                problems.append(
                    f"{name} does not say how much memory it has: its driver amdgpu is not loaded."
                )
                continue
            number = numbers.get(card.address)
            device = "" if number is None else f"cuda:{number}"  # PyTorch's word under ROCm, too
            gpus.append(self._gpu(name, space, device, card.driver))
        return Found(tuple(gpus), tuple(problems))

    def on_windows(self) -> Found:
        """The same, by DXGI; PyTorch has no ordinary build for these cards there."""
        gpus: list[Gpu] = []
        for adapter in self._adapters():
            if adapter.vendor == pci.AMD:
                own = Space("", adapter.dedicated, adapter.budget or adapter.dedicated)
                lent = Space("", adapter.shared, adapter.shared)
                discrete = _DISCRETE.search(adapter.name)
                space = (own, False) if discrete else unified(own, lent, self._ram())
                gpus.append(self._gpu(adapter.name, space))
        return Found(tuple(gpus))

    def _gpu(
        self, name: str, memory: tuple[Space, bool], device: str = "", driver: str = ""
    ) -> Gpu:
        space, shared = memory
        return Gpu(
            name=name,
            vendor=self.name,
            device=device,
            total=space.total,
            free=min(space.free, space.total),
            shared=shared,
            bandwidth=catalogue.bandwidth(name, space.total),
            driver=driver,
        )

    def _space(self, card: pci.PciCard) -> tuple[Space, bool] | None:
        own, lent = (_counted(card.folder, kind) for kind in ("vram", "gtt"))
        if own is None:
            return None
        if lent is None or not _is_part_of_processor(card.folder, own, lent):
            return own, False
        return unified(own, lent, self._ram())


def _counted(folder: Path, kind: str) -> Space | None:
    total = pci.read_int(folder / f"mem_info_{kind}_total")
    if not total:
        return None
    return Space("", total, max(0, total - (pci.read_int(folder / f"mem_info_{kind}_used") or 0)))


def _is_part_of_processor(folder: Path, own: Space, lent: Space) -> bool:
    """Whether the card is a processor's graphics.

    The table of sensors is of revision 1 for cards and of a later one for processors
    (kgd_pp_interface.h of the kernel). Processors before 2020 have no such table, and
    their graphics do not say how busy their memory is.
    """
    try:
        head = (folder / "gpu_metrics").read_bytes()[:4]
    except OSError:
        head = b""
    if len(head) == 4:
        _, revision, _ = struct.unpack("<HBB", head)
        return bool(revision >= 2)
    return not (folder / "mem_busy_percent").exists() and own.total < lent.total


@lru_cache(maxsize=16)
def _name(root: Path, card: pci.PciCard) -> str:
    """Product name as the firmware, AMD's own list or the list of PCI devices has it."""
    told = pci.read_text(card.folder / "product_name")
    listed = told or _marketing_name(root, card.device, card.revision)
    listed = listed or pci.listed_name(root, pci.AMD, card.device)
    if not listed:
        return f"AMD graphics {card.device:04x}"
    return listed if listed.startswith("AMD") else f"AMD {listed}"


def _marketing_name(root: Path, device: int, revision: int) -> str:
    """From libdrm's list, whose lines are "744C,<tab>C8,<tab>AMD Radeon RX 7900 XTX"."""
    wanted = [f"{device:04X}", f"{revision:02X}"]
    for line in pci.read_text(root / "usr/share/libdrm/amdgpu.ids").splitlines():
        fields = [field.strip() for field in line.split(",", 2)]
        if fields[:2] == wanted and len(fields) == 3:
            return fields[2]
    return ""


def _rocm_numbers(root: Path) -> dict[str, int]:
    """ROCm's number of each card, by its address: the order of the kernel's compute nodes."""
    folder = root / "sys/class/kfd/kfd/topology/nodes"
    try:
        nodes = sorted(folder.iterdir(), key=lambda node: int(node.name))
    except (OSError, ValueError):
        return {}
    found: dict[str, int] = {}
    for node in nodes:
        if not pci.read_int(node / "gpu_id"):
            continue  # a processor
        lines = (line.split() for line in pci.read_text(node / "properties").splitlines())
        facts = {line[0]: int(line[1]) for line in lines if len(line) == 2 and line[1].isdigit()}
        place = facts.get("location_id", 0)  # bus, device and function in one number
        bus, slot, function = place >> 8 & 0xFF, place >> 3 & 0x1F, place & 7
        found[f"{facts.get('domain', 0):04x}:{bus:02x}:{slot:02x}.{function}"] = len(found)
    return found
