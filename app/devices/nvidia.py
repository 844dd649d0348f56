"""NVIDIA cards, through the driver's own management library (NVML)."""

from __future__ import annotations

from typing import ClassVar

from typing_extensions import override

from app.core.machine import Gpu
from app.devices.base import Vendor


class Nvidia(Vendor):
    """Asks NVML, which needs the driver but neither CUDA nor torch."""

    name: ClassVar[str] = "nvidia"

    @override
    def probe(self) -> list[Gpu]:
        try:
            import pynvml
        except ImportError:
            return []
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError:
            return []
        try:
            return [self._card(pynvml, index) for index in range(pynvml.nvmlDeviceGetCount())]
        except pynvml.NVMLError:
            return []
        finally:
            pynvml.nvmlShutdown()

    @staticmethod
    def _card(pynvml, index: int) -> Gpu:  # type: ignore[no-untyped-def]  # it has no types
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        name, capability = (
            pynvml.nvmlDeviceGetName(handle),
            pynvml.nvmlDeviceGetCudaComputeCapability(handle),
        )
        return Gpu(
            name, "nvidia", f"cuda:{index}", memory.total, memory.free, capability=tuple(capability)
        )
