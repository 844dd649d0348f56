"""The graphics of Apple's own chips, which share the computer's memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from typing_extensions import override

from app.core.machine import Gpu, Space
from app.devices import catalogue
from app.devices.base import Found, Vendor
from app.devices.memory import memory
from app.devices.sysctl import Sysctl, number, sysctl, text

_LARGE = 36 * catalogue.GIB
_TRANSLATED = (
    "Nibble runs in a Python made for Intel processors, which cannot use this Mac's graphics: "
    "install Python for Apple silicon."
)


class Apple(Vendor):
    """Asks the kernel.

    Args:
        ask: Its answers by name.
        ram: The memory now.
    """

    name: ClassVar[str] = "apple"

    def __init__(self, ask: Sysctl = sysctl, ram: Callable[[], Space] = memory) -> None:
        self._ask = ask
        self._ram = ram

    @override
    def probe(self) -> Found:
        if number(self._ask("sysctl.proc_translated")):
            return Found(problems=(_TRANSLATED,))
        if not number(self._ask("hw.optional.arm64")):
            return Found()
        chip = text(self._ask("machdep.cpu.brand_string"))
        total = number(self._ask("hw.memsize"))
        limit = number(self._ask("iogpu.wired_limit_mb")) << 20 or working_set(total)
        gpu = Gpu(
            name=chip,
            vendor=self.name,
            device="mps:0",
            total=min(limit, total),
            free=min(limit, self._ram().free),
            shared=True,
            bandwidth=_bandwidth(chip, number(self._ask("hw.physicalcpu"))),
        )
        return Found((gpu,))


def working_set(total: int) -> int:
    """Bytes that Metal gives to graphics unless told otherwise.

    As Metal's recommendedMaxWorkingSetSize on Macs of 8 to 192 GB: two thirds of the
    memory, three quarters from 36 GB up.
    """
    return total * 3 // 4 if total >= _LARGE else total * 2 // 3


def _bandwidth(chip: str, cores: int) -> float:
    """By the chip's name, and by its cores where the name is sold with two speeds."""
    named = catalogue.find_chips(chip)
    exact = [found for found in named if found.cores == cores]
    return min((found.speed for found in exact or named), default=0.0) * 1e9
