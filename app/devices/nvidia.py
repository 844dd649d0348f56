"""NVIDIA cards, through the driver's own management library (NVML)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from typing_extensions import override

from app.core.machine import Gpu, Space
from app.devices import catalogue, dxgi, pci
from app.devices.base import Found, Vendor
from app.devices.memory import memory

_NO_PERMISSION, _DRIVER_NOT_LOADED, _LIBRARY_NOT_FOUND = 4, 9, 12
_GPU_IS_LOST, _RESET_REQUIRED, _VERSION_MISMATCH = 15, 16, 18
_SENTENCES = {
    _NO_PERMISSION: "This account is not allowed to use the NVIDIA card.",
    _DRIVER_NOT_LOADED: "The NVIDIA driver is installed but not running: restart the computer, "
    "or install the driver again.",
    _LIBRARY_NOT_FOUND: "There is an NVIDIA card but no NVIDIA driver: install the driver, then "
    "restart the computer.",
    _GPU_IS_LOST: "An NVIDIA card has stopped answering: restart the computer.",
    _RESET_REQUIRED: "An NVIDIA card has stopped answering: restart the computer.",
    _VERSION_MISMATCH: "The NVIDIA driver does not answer: it was updated and the computer has "
    "not been restarted.",
}
_NO_LIBRARY = (
    "There is an NVIDIA card, but the package that asks it is not installed: "
    "pip install nvidia-ml-py."
)


class Nvidia(Vendor):
    """Asks NVML, which needs the driver but neither CUDA nor torch.

    Args:
        nvml: The module `pynvml` or what answers like it.
        root: Of the file system, to see cards that have no driver.
        environ: For CUDA_VISIBLE_DEVICES.
        ram: The computer's memory, for boards that share it.
    """

    name: ClassVar[str] = "nvidia"

    def __init__(
        self,
        nvml: Any = None,
        root: Path = Path("/"),
        environ: Mapping[str, str] = os.environ,
        ram: Callable[[], Space] = memory,
    ) -> None:
        self._nvml = nvml
        self._root = root
        self._environ = environ
        self._ram = ram
        self._open = False

    @override
    def probe(self) -> Found:
        if self._nvml is None:
            try:
                import pynvml
            except ImportError:
                return Found(problems=(_NO_LIBRARY,) if self._is_present() else ())
            self._nvml = pynvml
        try:
            if not self._open:
                self._nvml.nvmlInit()
                self._open = True  # and stays so: opening takes long, asking does not
            return self._cards()
        except self._nvml.NVMLError as error:
            self._close()
            code = getattr(error, "value", 0)
            if code in {_DRIVER_NOT_LOADED, _LIBRARY_NOT_FOUND} and not self._is_present():
                return Found()
            return Found(problems=(_sentence(code, error),))

    def _close(self) -> None:
        """After an error, so that the next question begins anew."""
        if self._open:
            self._open = False
            try:
                self._nvml.nvmlShutdown()
            except self._nvml.NVMLError:
                return

    def _is_present(self) -> bool:
        return bool(pci.display_cards(self._root, pci.NVIDIA)) or any(
            adapter.vendor == pci.NVIDIA for adapter in dxgi.adapters()
        )

    def _cards(self) -> Found:
        nvml = self._nvml
        driver = str(self._ask("nvmlSystemGetDriverVersion") or "")
        gpus: list[Gpu] = []
        problems: list[str] = []
        places = range(nvml.nvmlDeviceGetCount())
        numbers = self._cuda_numbers(len(places))
        for place in places:
            try:
                card = self._card(nvml.nvmlDeviceGetHandleByIndex(place), driver)
            except nvml.NVMLError as error:
                problems.append(_sentence(getattr(error, "value", 0), error))
                continue
            number = numbers.get(place)
            gpus.append(replace(card, device="" if number is None else f"cuda:{number}"))
        return Found(tuple(gpus), tuple(problems))

    def _card(self, handle: Any, driver: str) -> Gpu:
        name = str(self._nvml.nvmlDeviceGetName(handle))
        own = self._ask("nvmlDeviceGetMemoryInfo", handle)
        # Boards whose graphics use the computer's memory (Jetson, DGX Spark) have no answer.
        space = Space("", own.total, own.free) if own else self._ram()
        capability = self._ask("nvmlDeviceGetCudaComputeCapability", handle)
        return Gpu(
            name=name,
            vendor=self.name,
            device="",
            total=space.total,
            free=space.free,
            shared=own is None,
            capability=(capability[0], capability[1]) if capability else None,
            bandwidth=self._bandwidth(handle) or catalogue.bandwidth(name, space.total),
            driver=driver,
        )

    def _bandwidth(self, handle: Any) -> float:
        """Width of the bus times its clock; NVML's clock is half the rate of transfers."""
        width = self._ask("nvmlDeviceGetMemoryBusWidth", handle) or 0  # bits
        clock = self._ask("nvmlDeviceGetMaxClockInfo", handle, self._nvml.NVML_CLOCK_MEM) or 0
        return width / 8 * clock * 1e6 * 2

    def _ask(self, question: str, *arguments: Any) -> Any:
        """The answer, or None where this card or driver has none."""
        try:
            return getattr(self._nvml, question)(*arguments)
        except self._nvml.NVMLError as error:
            if getattr(error, "value", 0) in {_GPU_IS_LOST, _RESET_REQUIRED, _VERSION_MISMATCH}:
                raise
            return None

    def _cuda_numbers(self, count: int) -> dict[int, int]:
        """CUDA's number of each card that programs may see, by its place in NVML's list.

        NVML goes by address, as CUDA does under CUDA_DEVICE_ORDER=PCI_BUS_ID, which the
        worker sets. CUDA_VISIBLE_DEVICES lists numbers or beginnings of the cards' own
        names; the first word that means no card ends the list.
        """
        listed = self._environ.get("CUDA_VISIBLE_DEVICES")
        if listed is None:
            return {place: place for place in range(count)}
        visible: dict[int, int] = {}
        for word in listed.split(","):
            place = self._place(word.strip(), count)
            if place is None or place in visible:
                break
            visible[place] = len(visible)
        return visible

    def _place(self, word: str, count: int) -> int | None:
        if word.isdigit():
            return int(word) if int(word) < count else None
        for place in range(count) if word.startswith("GPU-") else ():
            handle = self._nvml.nvmlDeviceGetHandleByIndex(place)
            if str(self._nvml.nvmlDeviceGetUUID(handle)).startswith(word):
                return place
        return None


def _sentence(code: int, error: Exception) -> str:
    return _SENTENCES.get(code, f"The NVIDIA driver does not answer ({error}).")
