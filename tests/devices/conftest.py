import pytest

from app.core.machine import Space

GIB = 1 << 30


class FakeLinux:
    """A file system with what a kernel would tell, below `root`."""

    def __init__(self, root):
        self.root = root

    def file(self, path, content):
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            place.write_bytes(content)
        else:
            place.write_text(f"{content}\n")

    def card(self, address, vendor, device, driver="", revision=0, kind=0x030000, **files):
        """A PCI device; `files` are the driver's own, with "__" for "/"."""
        folder = f"sys/bus/pci/devices/{address}"
        self.file(f"{folder}/vendor", f"0x{vendor:04x}")
        self.file(f"{folder}/device", f"0x{device:04x}")
        self.file(f"{folder}/revision", f"0x{revision:02x}")
        self.file(f"{folder}/class", f"0x{kind:06x}")
        if driver:
            module = self.root / "sys/bus/pci/drivers" / driver
            module.mkdir(parents=True, exist_ok=True)
            (self.root / folder / "driver").symlink_to(module)
        for name, content in files.items():
            self.file(f"{folder}/{name.replace('__', '/')}", content)

    def compute_node(self, number, location=0, gpu=1):
        """A node of the kernel's driver for computing on AMD cards."""
        folder = f"sys/class/kfd/kfd/topology/nodes/{number}"
        self.file(f"{folder}/gpu_id", gpu)
        self.file(f"{folder}/properties", f"simd_count 96\nlocation_id {location}\ndomain 0")


@pytest.fixture
def linux(tmp_path):
    return FakeLinux(tmp_path / "root")


@pytest.fixture
def ram():
    """A computer with 32 GiB of memory, 20 of them free."""
    return lambda: Space("Memory", 32 * GIB, 20 * GIB)
