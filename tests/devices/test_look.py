import getpass
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from app import devices
from app.core.machine import Gpu, Machine, Space
from app.devices import look, pci, sample
from app.devices.amd import Amd
from app.devices.base import Found
from app.devices.cpu import processor
from app.devices.diagnostics import diagnostics
from app.devices.intel import Intel
from app.devices.known import imagine
from app.devices.memory import memory

GIB = 1 << 30
RTX = Gpu("NVIDIA GeForce RTX 4090", "nvidia", "cuda:0", 24 * GIB, 23 * GIB, capability=(8, 9))
RX = Gpu("AMD Radeon RX 7900 XTX", "amd", "cuda:0", 24 * GIB, 22 * GIB)


class Recorded:
    """A vendor that answers the same, or what it is told next."""

    def __init__(self, *gpus, problems=()):
        self.found = Found(gpus, problems)

    def probe(self):
        return self.found


@pytest.fixture
def computer(monkeypatch):
    """A computer with these cards, and PyTorch of this build."""

    def make(build="cuda", **vendors):
        monkeypatch.setattr(devices, "_vendors", lambda: vendors)
        monkeypatch.setattr(devices.pytorch, "build", lambda: build)
        return vendors

    return make


def test_that_every_vendor_is_found_and_builds_alone():
    assert set(devices.VENDORS) == {"nvidia", "amd", "intel", "apple"}
    for cls in devices.VENDORS.values():
        found = cls().probe()
        assert all(0 <= gpu.free <= gpu.total for gpu in found.gpus)


def test_that_this_computer_crosses_between_processes(tmp_path):
    machine = look(tmp_path)
    assert Machine.from_json(json.loads(json.dumps(machine.to_json()))) == machine
    assert machine.disks[0].name == str(tmp_path)


@pytest.mark.parametrize(
    ("build", "devices_left"),
    [("cuda", ["cuda:0", ""]), ("rocm", ["", "cuda:0"]), ("cpu", ["", ""]), ("", ["", ""])],
)
def test_that_only_cards_of_this_build_of_pytorch_get_jobs(build, devices_left, computer, tmp_path):
    computer(build, nvidia=Recorded(RTX), amd=Recorded(RX))
    machine = look(tmp_path)
    assert [gpu.device for gpu in machine.gpus] == devices_left
    assert bool(machine.problems) == (not any(devices_left))


def test_that_a_card_that_jobs_cannot_use_is_explained(computer, tmp_path):
    computer("cpu", nvidia=Recorded(RTX))
    (said,) = look(tmp_path).problems
    assert said.startswith("Conversions do not use NVIDIA GeForce RTX 4090: PyTorch here was built")
    assert said.endswith("for the processor only.")


def test_that_problems_of_all_vendors_are_kept(computer, tmp_path):
    computer(nvidia=Recorded(problems=("One.",)), amd=Recorded(problems=("Two.",)))
    assert look(tmp_path).problems == ("One.", "Two.")


def test_that_a_reading_changes_only_what_is_free(computer, tmp_path):
    vendors = computer(nvidia=Recorded(RTX, replace(RTX, device="cuda:1")), amd=Recorded(RX))
    before = look(tmp_path)
    busy = replace(RTX, free=GIB)
    vendors["nvidia"].found = Found((RTX, busy))
    after = sample(before)
    assert [gpu.free for gpu in after.gpus] == [23 * GIB, GIB, 22 * GIB]
    assert [replace(gpu, free=0) for gpu in after.gpus] == [
        replace(gpu, free=0) for gpu in before.gpus
    ]
    assert after.memory.total == before.memory.total


def test_that_a_card_that_vanished_keeps_its_last_reading(computer, tmp_path):
    vendors = computer(nvidia=Recorded(RTX))
    before = look(tmp_path)
    vendors["nvidia"].found = Found(problems=("Gone.",))
    assert sample(before).gpus == before.gpus
    vendors["nvidia"].found = Found((replace(RTX, name="Another", free=1),))
    assert sample(before).gpus == before.gpus


def test_that_an_imagined_computer_is_not_read():
    machine = imagine("RTX 4090")
    assert sample(machine) is machine


def test_that_a_disk_that_was_unplugged_does_not_stop_a_reading(tmp_path):
    machine = look(tmp_path)
    gone = replace(machine, disks=(Space(str(tmp_path / "gone"), 10, 5),))
    assert sample(gone).disks == gone.disks


def test_that_a_reading_is_cheap(tmp_path):
    machine = look(tmp_path)
    times = []
    for _ in range(10):
        start = time.perf_counter()
        sample(machine)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.020


def test_that_looking_loads_nothing_slow():
    code = (
        "import sys; from pathlib import Path; import app.devices as d; d.look(Path.cwd());"
        "print({'torch', 'numpy', 'numba', 'PySide6'} & set(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"


def test_that_diagnostics_name_the_hardware_and_nobody(monkeypatch, tmp_path):
    monkeypatch.setattr(getpass, "getuser", lambda: "ada")
    monkeypatch.setattr(Path, "home", lambda: Path("/home/ada"))
    machine = replace(
        look(tmp_path),
        gpus=(replace(RTX, driver="580.95.05"),),
        disks=(Space("/home/ada/models", 10 * GIB, GIB), Space("/media/ada/Photos", GIB, GIB)),
        problems=("Nothing can be read in /home/ada/.cache by ada.",),
    )
    text = diagnostics(machine)
    assert "NVIDIA GeForce RTX 4090" in text
    assert "driver 580.95.05, compute capability 8.9, cuda:0" in text
    assert "Disk 2: 1.1 GB of 1.1 GB free" in text
    assert "Problem: Nothing can be read in ~/.cache by user." in text
    assert "ada" not in text.lower().replace("adapter", "")
    assert "Photos" not in text


def test_that_words_that_contain_the_users_name_stay(monkeypatch):
    monkeypatch.setattr(getpass, "getuser", lambda: "pro")
    assert "Processor" in diagnostics(imagine("16 GB"))


GARBAGE = ["", "garbage", "-1", "0x", "9" * 40, b"\xff\xfe\x00\n\x80" * 9, "0x0 0x1\n0xz", "\t\n\t"]
FILES = [
    *(f"sys/bus/pci/devices/0000:03:00.0/{name}" for name in ("vendor", "class", "device")),
    *(f"sys/bus/pci/devices/0000:03:00.0/mem_info_{kind}" for kind in ("vram_total", "vram_used")),
    *(f"sys/bus/pci/devices/0000:03:00.0/{name}" for name in ("gpu_metrics", "resource")),
    "sys/class/kfd/kfd/topology/nodes/1/properties",
    "usr/share/libdrm/amdgpu.ids",
    "usr/share/hwdata/pci.ids",
    "proc/cpuinfo",
    "proc/self/cgroup",
    "sys/fs/cgroup/memory.max",
    "sys/fs/cgroup/memory.current",
    "sys/fs/cgroup/memory.stat",
    "sys/fs/cgroup/cpu.max",
]


@pytest.mark.parametrize("path", FILES)
@pytest.mark.parametrize("vendor", [pci.AMD, pci.INTEL])
def test_that_no_file_of_the_kernel_can_stop_us(path, vendor, linux, ram):
    linux.card(
        "0000:03:00.0", vendor, 0x744C, "driver", mem_info_vram_total=GIB, mem_info_gtt_total=GIB
    )
    linux.compute_node(1, location=0x0300)
    linux.file("proc/self/cgroup", "0::/")
    for content in GARBAGE:
        linux.file(path, content)
        for cls in (Amd, Intel):
            found = cls(linux.root, tuple, ram).probe()
            assert all(0 <= gpu.free <= gpu.total for gpu in found.gpus)
        assert processor(linux.root, system="linux").threads >= 1
        assert memory(linux.root).free >= 0
