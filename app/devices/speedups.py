"""Which kinds of numbers this hardware computes fast, and why.

Every format runs on everything in the end; what the hardware has no circuits for is first
turned into something it has. Fewer bits still help then, because fewer bytes are read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from app.core.machine import Cpu, Gpu, Machine

_SMALL = ("FP8", "NVFP4 and MXFP4")
_COMMON = ("INT8", "BF16", *_SMALL)


@dataclass(frozen=True, slots=True)
class Speedup:
    """One kind of number on one device."""

    device: str
    """Name of the card or processor."""
    name: str
    """"FP8", "NVFP4 and MXFP4" ..."""
    helps: bool
    reason: str


@dataclass(frozen=True, slots=True)
class _Since:
    """NVIDIA's generation that brought circuits for a kind of number."""

    name: str
    capability: tuple[int, int]
    generation: str


_NVIDIA = (
    _Since("INT8", (7, 5), "RTX 20 (Turing)"),
    _Since("BF16", (8, 0), "RTX 30 (Ampere)"),
    _Since("FP8", (8, 9), "RTX 40 (Ada)"),
    _Since("NVFP4 and MXFP4", (10, 0), "RTX 50 (Blackwell)"),
)

_AMD = (
    # Name of the card, its generation, and what its matrix units compute.
    (r"\bRX 9\d|\bR9[67]00", "RDNA 4", {"INT8", "BF16", "FP8"}),
    (r"\bMI30\d|\bMI325", "CDNA 3", {"INT8", "BF16", "FP8"}),
    (r"\bMI[12]\d\d", "CDNA", {"INT8", "BF16"}),
    (r"\bRX 7\d|\bW7\d|\b7[4-8]0M|\b8[4-9]0M|\b80[4-6]0S", "RDNA 3", {"INT8", "BF16"}),
)


def speedups(machine: Machine) -> tuple[Speedup, ...]:
    """What each graphics card and the processor are fast at."""
    rows: list[Speedup] = []
    for gpu in {gpu.name: gpu for gpu in machine.gpus}.values():
        rows += _BY_VENDOR[gpu.vendor](gpu) if gpu.vendor in _BY_VENDOR else []
    return (*rows, *_processor(machine.cpu))


def _nvidia(gpu: Gpu) -> list[Speedup]:
    if gpu.capability is None:
        return []
    rows: list[Speedup] = []
    kinds = _NVIDIA[1:] if re.search(r"\bGTX 16", gpu.name) else _NVIDIA
    if kinds is not _NVIDIA:  # of the generation of RTX 20, but for this
        rows.append(Speedup(gpu.name, "INT8", helps=False, reason="GTX 16 has no tensor cores"))
    for kind in kinds:
        helps = gpu.capability >= kind.capability
        needs = f"since {kind.generation}, compute capability {_dotted(kind.capability)}"
        reason = needs if helps else f"{needs}; this card has {_dotted(gpu.capability)}"
        rows.append(Speedup(gpu.name, kind.name, helps, reason))
    return rows


def _dotted(capability: tuple[int, int]) -> str:
    return f"{capability[0]}.{capability[1]}"


def _amd(gpu: Gpu) -> list[Speedup]:
    for pattern, generation, kinds in _AMD:
        if re.search(pattern, gpu.name):
            return [_amd_row(gpu, kind, generation, kind in kinds) for kind in _COMMON]
    reason = "this generation has no matrix units, or Nibble does not know it"
    return [Speedup(gpu.name, kind, helps=False, reason=reason) for kind in _COMMON]


def _amd_row(gpu: Gpu, kind: str, generation: str, helps: bool) -> Speedup:
    reason = f"the matrix units of {generation} {'compute' if helps else 'do not compute'} it"
    return Speedup(gpu.name, kind, helps, reason)


def _intel(gpu: Gpu) -> list[Speedup]:
    # "Arc Graphics" without a number are processors' graphics of 2023 without matrix units.
    matrix = bool(re.search(r"\bArc (Pro )?[A1B]\d", gpu.name))
    reason = "Arc's matrix units (XMX) compute it" if matrix else "no matrix units"
    rows = [Speedup(gpu.name, kind, matrix, reason) for kind in ("INT8", "BF16")]
    without = "Arc's matrix units do not compute it" if matrix else "no matrix units"
    return rows + [Speedup(gpu.name, kind, helps=False, reason=without) for kind in _SMALL]


def _apple(gpu: Gpu) -> list[Speedup]:
    first = bool(re.search(r"\bM1\b", gpu.name))
    bf16 = "imitated on M1" if first else "from M2 on, with macOS 14 or later"
    small = "Apple's graphics turn it into 16 bits first"
    return [
        Speedup(gpu.name, "BF16", not first, bf16),
        *(Speedup(gpu.name, kind, helps=False, reason=small) for kind in _SMALL),
    ]


def _processor(cpu: Cpu) -> list[Speedup]:
    wide = next((name for name in ("AVX-512", "AVX2", "NEON") if name in cpu.features), "")
    reason = f"computed many at once with {wide}" if wide else "it has neither AVX2 nor NEON"
    return [
        _by_feature(cpu, "INT8", ("AMX", "AVX-512 VNNI", "AVX-VNNI", "I8MM", "DOTPROD")),
        _by_feature(cpu, "BF16", ("AMX", "AVX-512 BF16", "BF16")),
        Speedup(cpu.name, "GGUF kernels", bool(wide), reason),
    ]


def _by_feature(cpu: Cpu, kind: str, features: tuple[str, ...]) -> Speedup:
    found = [feature for feature in features if feature in cpu.features]
    if found:
        return Speedup(cpu.name, kind, helps=True, reason=f"it has {' and '.join(found)}")
    return Speedup(cpu.name, kind, helps=False, reason=f"it has none of {', '.join(features)}")


_BY_VENDOR = {"nvidia": _nvidia, "amd": _amd, "intel": _intel, "apple": _apple}
