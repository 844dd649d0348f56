"""Graphics cards as the Linux kernel lists them, whether or not they have a driver."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

NVIDIA, AMD, INTEL = 0x10DE, 0x1002, 0x8086
_NAMES = ("usr/share/hwdata/pci.ids", "usr/share/misc/pci.ids")


@dataclass(frozen=True, slots=True)
class PciCard:
    """One device of the display class."""

    folder: Path
    """Its folder under /sys/bus/pci/devices, with the driver's own files."""
    device: int
    revision: int
    driver: str
    """Name of the kernel's driver; empty where none has taken the card."""

    @property
    def address(self) -> str:
        """Domain, bus, device and function: "0000:03:00.0"."""
        return self.folder.name


def display_cards(root: Path, vendor: int) -> list[PciCard]:
    """The cards of one vendor in the order of their addresses; none where there is no sysfs."""
    try:
        folders = sorted((root / "sys/bus/pci/devices").iterdir())
    except OSError:
        return []
    return [
        _card(folder)
        for folder in folders
        if read_int(folder / "vendor") == vendor and (read_int(folder / "class") or 0) >> 16 == 3
    ]


def _card(folder: Path) -> PciCard:
    driver = folder / "driver"
    return PciCard(
        folder=folder,
        device=read_int(folder / "device") or 0,
        revision=read_int(folder / "revision") or 0,
        driver=driver.resolve().name if driver.exists() else "",
    )


def read_text(path: Path) -> str:
    """A small file of the kernel; empty where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def read_int(path: Path) -> int | None:
    """The number in a file of the kernel, decimal or with 0x; None where there is none."""
    try:
        return int(read_text(path), 0)
    except ValueError:
        return None


@lru_cache(maxsize=64)
def listed_name(root: Path, vendor: int, device: int) -> str:
    """The name in the system's list of PCI devices, as shops write it; empty when unknown."""
    for place in _NAMES:
        try:
            with (root / place).open(encoding="utf-8", errors="replace") as lines:
                found = _find(lines, f"{vendor:04x}  ", f"\t{device:04x}  ")
        except OSError:
            continue
        if found:
            return found[found.find("[") + 1 : -1] if found.endswith("]") else found
    return ""


def _find(lines: Iterator[str], vendor: str, device: str) -> str:
    inside = False
    for line in lines:
        if inside and line.startswith(device):
            return line.split("  ", 1)[1].strip()
        if line[:1] not in "\t#\n":
            inside = line.startswith(vendor)
    return ""
