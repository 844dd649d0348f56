"""Which hardware runs which format in which program: one table of facts, and its words.

The lines on vLLM follow its page on supported hardware and, for cards that compute 4- and 8-bit
floats in 16 bits only, its pull requests 5975 and 33076; those on transformers what its quantizers
ask of a computer (5.23); those on bitsandbytes and GPTQModel their own lists. The first line that
fits a preset counts. Numbers are NVIDIA's compute capabilities.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from app.core.machine import Gpu, Machine
from app.core.runtime import Runtime

AMD, INTEL, APPLE = "amd", "intel", "apple"
PASCAL, VOLTA, TURING, AMPERE = (6, 0), (7, 0), (7, 5), (8, 0)
ADA, HOPPER, BLACKWELL = (8, 9), (9, 0), (10, 0)
SERIES = {
    PASCAL: "GTX 10 series",
    VOLTA: "Tesla V100",
    TURING: "RTX 20 series",
    AMPERE: "RTX 30 series",
    ADA: "RTX 40 series",
    HOPPER: "H100",
    BLACKWELL: "RTX 50 series",
}
"""The first cards of each generation, as people know them."""
VENDORS = {AMD: "AMD", INTEL: "Intel", APPLE: "Apple"}
_ALL = frozenset(VENDORS)


@dataclass(frozen=True, slots=True)
class Requirement:
    """What one program asks of a computer to run a format."""

    runtime: Runtime
    presets: str
    """Regular expression of their names."""
    numbers: str
    """What layers are made of, in a word: "FP8"."""
    nvidia: tuple[int, int] | None
    """The first cards of NVIDIA that run it; None: none does."""
    others: frozenset[str] = frozenset()
    """Vendors whose cards run it as well."""
    processor: bool = False
    """Whether it runs without a card, on processors of Intel's and AMD's kind."""
    below: tuple[int, int] | None = None
    """The first cards of NVIDIA that do not run it any more."""
    computes: tuple[int, int] | None = None
    """The first cards of NVIDIA that compute with these numbers; earlier ones unpack them for each
    product, which saves memory but not time. None: all cards unpack them."""
    unpacked: bool = False
    """Whether the program makes 16-bit weights of them while it loads: no memory is saved."""
    unpacked_below: tuple[int, int] | None = None
    """The first cards of NVIDIA for which it does not; all other hardware counts as earlier."""

    def missing(self, machine: Machine) -> str:
        """Why a computer cannot run it, in a sentence; empty where it can."""
        if self._runs_on_processor(machine) or any(map(self.runs_on, machine.gpus)):
            return ""
        if self.runtime is Runtime.MLX:
            return "Needs a Mac with Apple silicon: MLX."
        if self.below and any(map(self._is_too_new, machine.gpus)):
            return f"Needs an NVIDIA card from before the {SERIES[self.below]}: {self.numbers}."
        makers = [f"an NVIDIA card ({SERIES[self.nvidia]} or newer)"] if self.nvidia else []
        makers += [f"a card of {VENDORS[one]}" for one in VENDORS if one in self.others]
        return f"Needs {' or '.join(makers)}: {self.numbers}."

    def slow(self, machine: Machine) -> str:
        """What is not as it could be although it runs, in a sentence; empty where nothing is."""
        cards = [gpu for gpu in _nvidia(machine) if self.runs_on(gpu)]
        if self.computes and cards and all((gpu.capability or ()) < self.computes for gpu in cards):
            since = f"the {SERIES[self.computes]}"
            return f"Only cards since {since} compute in {self.numbers}: it saves memory, not time."
        if self.unpacks(machine):
            return "The program unpacks it to 16 bits as it loads: it saves disk, not memory."
        return ""

    def unpacks(self, machine: Machine) -> bool:
        """Whether weights take 16 bits in the memory of this computer."""
        if self.unpacked_below is None:
            return self.unpacked
        cards = _nvidia(machine)
        return not cards or any((gpu.capability or ()) < self.unpacked_below for gpu in cards)

    def runs_on(self, gpu: Gpu) -> bool:
        """Whether it runs on a card."""
        if not gpu.device:
            return False
        if gpu.vendor != "nvidia":
            return gpu.vendor in self.others
        known = gpu.capability or AMPERE  # one that does not say is taken for a usual one
        old = self.nvidia is None or known < self.nvidia
        return not old and not self._is_too_new(gpu)

    def _is_too_new(self, gpu: Gpu) -> bool:
        known = gpu.capability if gpu.vendor == "nvidia" else None
        return bool(self.below and known and known >= self.below)

    def _runs_on_processor(self, machine: Machine) -> bool:
        return self.processor and not any(gpu.vendor == APPLE for gpu in machine.gpus)


_VLLM, _TRANSFORMERS = Runtime.VLLM, Runtime.TRANSFORMERS
_FLOATS = r"(bf16|f16)(-folder)?"

REQUIREMENTS = (
    Requirement(_VLLM, _FLOATS, "16 bits", VOLTA, frozenset({AMD, INTEL}), True),
    Requirement(_VLLM, r"gptq-[48]bit-g.*", "GPTQ", VOLTA, frozenset({INTEL}), True),
    Requirement(_VLLM, r"gptq-.*", "GPTQ", VOLTA),
    Requirement(_VLLM, r"awq-.*", "AWQ", TURING, frozenset({INTEL}), True),
    Requirement(_VLLM, r"w[48]a16.*", "integers of 4 or 8 bits", TURING),
    Requirement(
        _VLLM, r"w8a8.*", "INT8", TURING, processor=True, below=BLACKWELL, computes=TURING
    ),
    Requirement(_VLLM, r"fbgemm-fp8", "FP8", AMPERE, computes=ADA),
    Requirement(_VLLM, r"fp8.*", "FP8", TURING, frozenset({AMD}), computes=ADA),
    Requirement(_VLLM, r"nvfp4a16", "NVFP4", TURING),
    Requirement(_VLLM, r"nvfp4.*", "NVFP4", TURING, computes=BLACKWELL),
    Requirement(_VLLM, r"mxfp[48].*", "MXFP", AMPERE),
    Requirement(_VLLM, r"gpt-oss-mxfp4", "MXFP4", AMPERE, frozenset({AMD}), computes=BLACKWELL),
    Requirement(_VLLM, r"bnb-.*", "bitsandbytes", VOLTA),
    Requirement(_TRANSFORMERS, _FLOATS, "16 bits", PASCAL, _ALL, True),
    Requirement(_TRANSFORMERS, r"(gptq|awq)-.*", "GPTQModel", PASCAL, _ALL, True),
    Requirement(
        _TRANSFORMERS, r"(w\d|nvfp4|mxfp).*|fp8(-static|-block-ct)?",
        "compressed-tensors", PASCAL, _ALL, True, unpacked=True,
    ),
    Requirement(_TRANSFORMERS, r"fp8-block-e5m2", "FP8", PASCAL, _ALL, True, unpacked=True),
    Requirement(
        _TRANSFORMERS, r"fp8-block.*", "FP8", PASCAL, _ALL, True,
        computes=ADA, unpacked_below=ADA,
    ),
    Requirement(_TRANSFORMERS, r"fbgemm-fp8", "FP8", HOPPER, frozenset({INTEL})),
    Requirement(
        _TRANSFORMERS, r"gpt-oss-mxfp4", "MXFP4", PASCAL, _ALL, True, unpacked_below=TURING
    ),
    Requirement(_TRANSFORMERS, r"hqq-.*", "HQQ", PASCAL, _ALL, True),
    Requirement(_TRANSFORMERS, r"bnb-int8", "INT8", TURING, _ALL, True),
    Requirement(_TRANSFORMERS, r"bnb-.*", "bitsandbytes", PASCAL, _ALL, True),
    Requirement(Runtime.MLX, r".*", "MLX", None, frozenset({APPLE})),
)  # fmt: skip
"""All but llama.cpp, which runs everywhere."""


def requirement(runtime: Runtime, preset: str) -> Requirement | None:
    """What a program asks for to run a preset; None where nobody knows."""
    return next(
        (
            row
            for row in REQUIREMENTS
            if row.runtime is runtime and re.fullmatch(row.presets, preset)
        ),
        None,
    )


def _nvidia(machine: Machine) -> list[Gpu]:
    return [gpu for gpu in machine.gpus if gpu.vendor == "nvidia" and gpu.device]
