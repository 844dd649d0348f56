"""The machine's hardware, one file per vendor, without torch."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import psutil

from app.core.discover import discover
from app.core.machine import Gpu, Machine, Space
from app.devices import pytorch
from app.devices.bandwidth import measure_bandwidth, remember, remembered
from app.devices.base import Found, Vendor
from app.devices.cpu import processor
from app.devices.disks import disks
from app.devices.memory import memory

VENDORS = discover(__name__, Vendor)
"""Every graphics vendor's class by its name."""


def look(folder: Path) -> Machine:
    """Find out what this computer has; the disk of `folder` comes first of the disks."""
    found = [vendor.probe() for vendor in _vendors().values()]
    gpus, unusable = _for_torch([gpu for part in found for gpu in part.gpus], pytorch.build())
    problems = [problem for part in found for problem in part.problems]
    cpu, ram = processor(), memory()
    return Machine(
        cpu=replace(cpu, bandwidth=remembered(cpu, ram)),
        memory=ram,
        gpus=tuple(gpus),
        disks=disks(folder),
        problems=(*problems, *unusable),
    )


def measure(machine: Machine) -> Machine:
    """The same with the speed of its memory, which takes a second of all cores.

    `look` knows it from then on.
    """
    cpu = machine.cpu
    speed = measure_bandwidth(cpu.cores or cpu.threads, machine.memory.free)
    remember(cpu, machine.memory, speed)
    return replace(machine, cpu=replace(cpu, bandwidth=speed))


def sample(machine: Machine) -> Machine:
    """The same computer with what is free now; an imagined one stays as it is.

    Takes a few milliseconds, but for the first time, when drivers are opened.
    """
    if machine.simulated:
        return machine
    now: dict[str, Found] = {
        name: vendor.probe()
        for name, vendor in _vendors().items()
        if any(gpu.vendor == name for gpu in machine.gpus)
    }
    return replace(
        machine,
        memory=memory(),
        gpus=tuple(_now(gpu, place, machine, now) for place, gpu in enumerate(machine.gpus)),
        disks=tuple(_disk_now(disk) for disk in machine.disks),
    )


@cache
def _vendors() -> dict[str, Vendor]:
    return {name: vendor() for name, vendor in VENDORS.items()}


def _now(gpu: Gpu, place: int, machine: Machine, now: dict[str, Found]) -> Gpu:
    """The card with the reading of the same place among its vendor's, if it is that card."""
    index = sum(other.vendor == gpu.vendor for other in machine.gpus[:place])
    cards = now[gpu.vendor].gpus if gpu.vendor in now else ()
    if index < len(cards) and cards[index].name == gpu.name:
        return replace(gpu, free=cards[index].free)
    return gpu


def _disk_now(disk: Space) -> Space:
    try:
        return replace(disk, free=psutil.disk_usage(disk.name).free)
    except OSError:  # unplugged, or a folder that is still to be made
        return disk


def _for_torch(gpus: list[Gpu], build: str) -> tuple[list[Gpu], list[str]]:
    """Take the job's device from cards that this build of PyTorch cannot use; say so."""
    vendor = pytorch.VENDORS.get(build, "")
    usable = [gpu if gpu.vendor == vendor else replace(gpu, device="") for gpu in gpus]
    lost = [gpu.name for gpu in gpus if gpu.device and gpu.vendor != vendor]
    if not lost or any(gpu.device for gpu in usable):
        return usable, []
    reason = "for the processor only" if build == "cpu" else "without support for it"
    return usable, [
        f"Conversions do not use {lost[0]}: PyTorch here was built {reason}."
        if build
        else f"Conversions do not use {lost[0]}: PyTorch is not installed."
    ]
