import sys
from types import SimpleNamespace

import pynvml
import pytest

from app.devices import catalogue
from app.devices.nvidia import Nvidia

MIB, GIB = 1 << 20, 1 << 30


class Nvml:
    """Answers like pynvml, from recorded facts of cards."""

    NVMLError = pynvml.NVMLError
    NVML_CLOCK_MEM = pynvml.NVML_CLOCK_MEM

    def __init__(self, *cards, trouble=0):
        self.cards = cards
        self.trouble = trouble
        self.opened = 0

    def nvmlInit(self):
        if self.trouble:
            raise pynvml.NVMLError(self.trouble)
        self.opened += 1

    def nvmlShutdown(self):
        self.opened -= 1

    def nvmlDeviceGetCount(self):
        if self.trouble:
            raise pynvml.NVMLError(self.trouble)
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index):
        if self.cards[index].get("lost"):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return self.cards[index]

    def nvmlSystemGetDriverVersion(self):
        return "580.95.05"

    def nvmlDeviceGetMemoryInfo(self, card):
        total, free = self._of(card, "memory")
        return SimpleNamespace(total=total, free=free, used=total - free)

    def nvmlDeviceGetName(self, card):
        return self._of(card, "name")

    def nvmlDeviceGetUUID(self, card):
        return self._of(card, "uuid")

    def nvmlDeviceGetCudaComputeCapability(self, card):
        return list(self._of(card, "capability"))

    def nvmlDeviceGetMemoryBusWidth(self, card):
        return self._of(card, "width")

    def nvmlDeviceGetMaxClockInfo(self, card, clock):
        assert clock == pynvml.NVML_CLOCK_MEM
        return self._of(card, "clock")

    @staticmethod
    def _of(card, fact):
        if fact not in card:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return card[fact]


def recorded(name, memory, capability, width, clock, uuid="GPU-0"):
    return {
        "name": name,
        "memory": (memory * MIB, memory * MIB - 700 * MIB),
        "capability": capability,
        "width": width,
        "clock": clock,
        "uuid": uuid,
    }


RTX_4090 = recorded("NVIDIA GeForce RTX 4090", 24564, (8, 9), 384, 10501, "GPU-4090aaaa")
RTX_3090 = recorded("NVIDIA GeForce RTX 3090", 24576, (8, 6), 384, 9751, "GPU-3090bbbb")
RTX_3060 = recorded("NVIDIA GeForce RTX 3060", 12288, (8, 6), 192, 7501, "GPU-3060cccc")
RTX_5090 = recorded("NVIDIA GeForce RTX 5090", 32607, (12, 0), 512, 14001, "GPU-5090dddd")
RTX_4060 = recorded("NVIDIA GeForce RTX 4060 Laptop GPU", 8188, (8, 9), 128, 8001, "GPU-4060eeee")


def probe(nvml, linux, ram, **environ):
    return Nvidia(nvml, linux.root, environ, ram).probe()


def test_that_several_cards_are_told_apart_and_never_added_up(linux, ram):
    found = probe(Nvml(RTX_4090, RTX_3060), linux, ram)
    assert [(gpu.name, gpu.device, gpu.total) for gpu in found.gpus] == [
        ("NVIDIA GeForce RTX 4090", "cuda:0", 24564 * MIB),
        ("NVIDIA GeForce RTX 3060", "cuda:1", 12288 * MIB),
    ]
    assert [gpu.capability for gpu in found.gpus] == [(8, 9), (8, 6)]
    assert found.gpus[0].free == (24564 - 700) * MIB
    assert found.gpus[0].driver == "580.95.05"
    assert not any(gpu.shared for gpu in found.gpus)
    assert found.problems == ()


@pytest.mark.parametrize("card", [RTX_4090, RTX_3090, RTX_3060, RTX_5090, RTX_4060])
def test_that_bus_and_clock_give_the_bandwidth_of_the_data_sheet(card, linux, ram):
    (gpu,) = probe(Nvml(card), linux, ram).gpus
    listed = catalogue.bandwidth(gpu.name, gpu.total)
    assert listed > 0
    assert gpu.bandwidth == pytest.approx(listed, rel=0.005)


def test_that_the_data_sheet_stands_in_where_the_driver_is_silent(linux, ram):
    silent = {key: value for key, value in RTX_3090.items() if key not in {"width", "clock"}}
    assert probe(Nvml(silent), linux, ram).gpus[0].bandwidth == 936e9


@pytest.mark.parametrize(
    ("listed", "devices"),
    [
        ("0,1,2", ["cuda:0", "cuda:1", "cuda:2"]),
        ("2,0", ["cuda:1", "", "cuda:0"]),
        ("1", ["", "cuda:0", ""]),
        ("", ["", "", ""]),
        ("0,-1,1", ["cuda:0", "", ""]),
        ("0,0,1", ["cuda:0", "", ""]),
        ("0,7,1", ["cuda:0", "", ""]),
        ("GPU-3090,GPU-4090aaaa", ["cuda:1", "cuda:0", ""]),
    ],
)
def test_that_hidden_cards_have_no_number_and_the_others_cudas(listed, devices, linux, ram):
    nvml = Nvml(RTX_4090, RTX_3090, RTX_3060)
    found = probe(nvml, linux, ram, CUDA_VISIBLE_DEVICES=listed)
    assert [gpu.device for gpu in found.gpus] == devices


def test_that_an_updated_driver_asks_for_a_restart_and_is_asked_again(linux, ram):
    nvml = Nvml(RTX_4090, trouble=pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH)
    vendor = Nvidia(nvml, linux.root, {}, ram)
    found = vendor.probe()
    assert found.gpus == ()
    (said,) = found.problems
    assert said.startswith("The NVIDIA driver does not answer: it was updated and the computer has")
    nvml.trouble = 0
    assert len(vendor.probe().gpus) == 1


def test_that_a_driver_updated_while_we_run_is_said_and_closed(linux, ram):
    nvml = Nvml(RTX_4090)
    vendor = Nvidia(nvml, linux.root, {}, ram)
    assert vendor.probe().problems == ()
    nvml.trouble = pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH
    assert "restarted" in vendor.probe().problems[0]
    assert nvml.opened == 0


def test_that_the_library_is_opened_once_for_many_readings(linux, ram):
    nvml = Nvml(RTX_4090)
    vendor = Nvidia(nvml, linux.root, {}, ram)
    assert [len(vendor.probe().gpus) for _ in range(5)] == [1] * 5
    assert nvml.opened == 1


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, "no NVIDIA driver"),
        (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "not running"),
    ],
)
def test_that_a_missing_driver_is_a_problem_only_where_there_is_a_card(code, said, linux, ram):
    assert probe(Nvml(trouble=code), linux, ram).problems == ()
    linux.card("0000:01:00.0", 0x10DE, 0x2684)
    assert said in probe(Nvml(trouble=code), linux, ram).problems[0]


def test_that_sound_of_a_card_is_not_a_card(linux, ram):
    linux.card("0000:01:00.1", 0x10DE, 0x22BA, kind=0x040300)
    trouble = pynvml.NVML_ERROR_LIBRARY_NOT_FOUND
    assert probe(Nvml(trouble=trouble), linux, ram).problems == ()


def test_that_without_the_package_the_card_is_still_noticed(linux, ram, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert Nvidia(None, linux.root, {}, ram).probe().problems == ()
    linux.card("0000:01:00.0", 0x10DE, 0x2684)
    assert "nvidia-ml-py" in Nvidia(None, linux.root, {}, ram).probe().problems[0]


def test_that_one_lost_card_does_not_hide_the_other(linux, ram):
    found = probe(Nvml({**RTX_4090, "lost": True}, RTX_3060), linux, ram)
    assert [(gpu.name, gpu.device) for gpu in found.gpus] == [("NVIDIA GeForce RTX 3060", "cuda:1")]
    assert found.problems == ("An NVIDIA card has stopped answering: restart the computer.",)


def test_that_a_board_without_memory_of_its_own_shares_the_computers(linux, ram):
    board = {"name": "NVIDIA GB10", "capability": (12, 1), "uuid": "GPU-1"}
    (gpu,) = probe(Nvml(board), linux, ram).gpus
    assert gpu.shared
    assert (gpu.total, gpu.free) == (32 * GIB, 20 * GIB)
    assert gpu.bandwidth == 273e9


def test_that_an_unknown_error_is_said_too(linux, ram):
    found = probe(Nvml(trouble=pynvml.NVML_ERROR_UNKNOWN), linux, ram)
    assert found.problems == ("The NVIDIA driver does not answer (Unknown Error).",)


def test_that_the_real_library_never_stops_us():
    found = Nvidia().probe()
    assert all(0 < gpu.free <= gpu.total for gpu in found.gpus)
