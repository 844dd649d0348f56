import ctypes
import os
import time

import numpy as np
import psutil
import pytest

from app.core.machine import Cpu, Space
from app.devices.bandwidth import measure_bandwidth, remember, remembered
from app.devices.cpu import processor
from app.devices.memory import memory, unified

GIB = 1 << 30
TOTAL = psutil.virtual_memory().total


def test_that_without_a_limit_it_is_the_computers_memory(linux):
    linux.file("proc/self/cgroup", "0::/user.slice/app.scope")
    linux.file("sys/fs/cgroup/user.slice/app.scope/memory.max", "max")
    linux.file("sys/fs/cgroup/user.slice/app.scope/memory.current", GIB)
    space = memory(linux.root)
    assert space.total == TOTAL
    assert 0 < space.free <= TOTAL


def test_that_a_container_has_only_what_it_may_use(linux):
    linux.file("proc/self/cgroup", "0::/")
    linux.file("sys/fs/cgroup/memory.max", GIB)
    linux.file("sys/fs/cgroup/memory.current", GIB // 2)
    linux.file("sys/fs/cgroup/memory.stat", f"anon {GIB // 4}\ninactive_file {GIB // 8}\n")
    assert memory(linux.root) == Space("Memory", GIB, GIB // 2 + GIB // 8)


def test_that_the_tightest_group_above_us_counts(linux):
    linux.file("proc/self/cgroup", "0::/outer/inner")
    for folder, limit, used in (("outer", GIB, GIB - 1000), ("outer/inner", 2 * GIB, 100)):
        linux.file(f"sys/fs/cgroup/{folder}/memory.max", limit)
        linux.file(f"sys/fs/cgroup/{folder}/memory.current", used)
    assert memory(linux.root) == Space("Memory", GIB, 1000)


def test_that_the_older_groups_are_read_where_the_path_is_the_hosts(linux):
    linux.file("proc/self/cgroup", "9:name=systemd:/x\n4:cpu,memory:/docker/abc\n0::/")
    linux.file("sys/fs/cgroup/memory/memory.limit_in_bytes", 2 * GIB)
    linux.file("sys/fs/cgroup/memory/memory.usage_in_bytes", GIB)
    linux.file("sys/fs/cgroup/memory/memory.stat", "inactive_file 5\ntotal_inactive_file 1000\n")
    assert memory(linux.root) == Space("Memory", 2 * GIB, GIB + 1000)


def test_that_the_older_groups_word_for_no_limit_is_none(linux):
    linux.file("proc/self/cgroup", "4:memory:/")
    linux.file("sys/fs/cgroup/memory/memory.limit_in_bytes", 9223372036854771712)
    linux.file("sys/fs/cgroup/memory/memory.usage_in_bytes", GIB)
    assert memory(linux.root).total == TOTAL


def test_that_a_path_in_the_group_file_leads_nowhere_else(linux):
    linux.file("proc/self/cgroup", "0::/../../../etc")
    linux.file("sys/fs/cgroup/memory.max", GIB)
    linux.file("sys/fs/cgroup/memory.current", 0)
    assert memory(linux.root).total == GIB


def test_that_a_computer_without_such_files_has_all_its_memory(linux):
    assert memory(linux.root).total == TOTAL


@pytest.mark.parametrize(
    ("own", "lent", "total", "free", "shared"),
    [(1, 14, 15, 9, True), (96, 16, 96, 96, False), (16, 16, 16, 16, False)],
)
def test_that_the_larger_part_decides_whose_memory_it_is(own, lent, total, free, shared):
    space, is_shared = unified(
        Space("", own * GIB, own * GIB), Space("", lent * GIB, lent * GIB), Space("", 0, 8 * GIB)
    )
    assert (space.total, space.free, is_shared) == (total * GIB, free * GIB, shared)


X86 = """processor\t: 0
model name\t: AMD Ryzen 9 7950X  16-Core Processor
flags\t\t: fpu sse2 avx avx2 avx512f avx512_vnni avx512_bf16

processor\t: 1
model name\t: Something else
flags\t\t: fpu amx_int8"""


def test_that_linux_names_the_processor_and_what_it_can(linux):
    linux.file("proc/cpuinfo", X86)
    cpu = processor(linux.root, system="linux")
    assert cpu.name == "AMD Ryzen 9 7950X 16-Core Processor"
    assert cpu.features == ("AVX2", "AVX-512", "AVX-512 VNNI", "AVX-512 BF16")
    assert 1 <= cpu.threads <= (os.cpu_count() or 1)
    assert cpu.cores <= cpu.threads


def test_that_boards_with_arm_have_a_name_too(linux):
    linux.file("proc/cpuinfo", "processor\t: 0\nFeatures\t: fp asimd asimddp\nCPU part\t: 0xd0b")
    linux.file("sys/firmware/devicetree/base/model", b"Raspberry Pi 5 Model B Rev 1.0\0")
    cpu = processor(linux.root, system="linux")
    assert cpu.name == "Raspberry Pi 5 Model B Rev 1.0"
    assert cpu.features == ("NEON", "DOTPROD")


def test_that_a_mac_is_asked_by_name():
    answers = {
        "machdep.cpu.brand_string": b"Apple M3\0",
        "hw.optional.AdvSIMD": b"\1\0\0\0",
        "hw.optional.arm.FEAT_I8MM": b"\1\0\0\0",
        "hw.optional.arm.FEAT_SME": b"\0\0\0\0",
    }
    cpu = processor(ask=lambda name: answers.get(name, b""), system="darwin")
    assert (cpu.name, cpu.features) == ("Apple M3", ("NEON", "I8MM"))


@pytest.mark.parametrize(
    ("files", "threads"),
    [
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "max 100000"}, None),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "50000 100000"}, 1),
        (
            {
                "proc/self/cgroup": "3:cpu,cpuacct:/docker/abc",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": 100000,
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": 100000,
            },
            1,
        ),
        (
            {
                "proc/self/cgroup": "3:cpu:/",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": -1,
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": 100000,
            },
            None,
        ),
    ],
)
def test_that_a_containers_share_of_the_processor_counts(files, threads, linux):
    for path, content in files.items():
        linux.file(path, content)
    everything = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    assert processor(linux.root, system="linux").threads == (threads or everything)


def test_that_the_bandwidth_is_near_that_of_the_systems_own_copy():
    """memmove reads and writes each byte; no cache of this size makes either faster."""
    source = np.ones(48 << 20, dtype=np.uint8)
    target = np.empty_like(source)
    best = float("inf")
    for _ in range(4):
        start = time.perf_counter()
        ctypes.memmove(target.ctypes.data, source.ctypes.data, source.nbytes)
        best = min(best, time.perf_counter() - start)
    copied = 2 * source.nbytes / best
    assert copied / 6 < measure_bandwidth(1, 1 << 30) < copied * 6


def test_that_too_little_memory_is_not_measured():
    assert measure_bandwidth(2, 100 << 20) == 0.0


def test_that_another_processor_or_memory_is_measured_again():
    cpu, ram = Cpu("Ryzen 5", 6, 12), Space("Memory", 32 * GIB, GIB)
    assert remembered(cpu, ram) == 0
    remember(cpu, ram, 40e9)
    assert remembered(cpu, ram) == 40e9
    assert remembered(Cpu("Ryzen 7", 6, 12), ram) == 0
    assert remembered(cpu, Space("Memory", 64 * GIB, GIB)) == 0


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b"\xff", b'{"processor": "x", "memory": 1, "bandwidth": NaN}']
)
def test_that_a_damaged_memory_of_it_is_none(content, home):
    (home / "memory_speed.json").write_bytes(content)
    assert remembered(Cpu("x", 1, 1), Space("Memory", 1, 1)) == 0
