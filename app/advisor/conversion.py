"""What making a result takes: disk, memory, and time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from app.advisor.memory import MIB
from app.advisor.speeds import MeasuredSpeeds
from app.core.errors import NotEnoughSpace
from app.core.files import free_bytes
from app.core.machine import Machine
from app.core.plan import Plan
from app.core.words import size
from app.encodings import find_encoding
from app.encodings.folder import FolderEncoding
from app.formats.slices import SLICE_WEIGHTS, WEIGHTS_AT_ONCE

_LEAST_PROGRAM, _PROGRAM = 300 * MIB, 450 * MIB  # the worker with PyTorch, before it does anything
#: Of a slice as float32, for each thread: what is read, computed and written at the least, and
#: with all that allocators keep. 8 threads were measured at 1.3 GB in all.
_LEAST_COPIES, _COPIES = 3, 14
#: The same of matrices that are quantized as a whole: two of 59 million weights at a time were
#: measured at 0.6 to 1.1 GB.
_LEAST_WHOLE, _WHOLE = 1.5, 3
_JOURNAL_BYTES = 64  # a line for each slice
_CARD = 700 * MIB  # a graphics card's driver, and a few slices


@dataclass(frozen=True, slots=True)
class ConversionNeeds:
    """Peaks, in bytes."""

    disk: int
    disk_free: int
    memory: int
    memory_least: int
    """What it takes with luck; with less it cannot work."""
    memory_free: int
    card: int
    """Memory of the graphics card; 0 where none takes part."""
    seconds: tuple[float, float] | None
    """From and to; None where nothing was converted here yet."""

    @property
    def problem(self) -> str:
        """What is missing, in a sentence; empty when nothing is."""
        if self.disk > self.disk_free:
            return f"The disk needs {size(self.disk - self.disk_free)} more free space."
        if self.memory > self.memory_free:
            return f"It may need {size(self.memory - self.memory_free)} more memory than is free."
        return ""


def conversion_needs(
    plan: Plan,
    source_bytes: int,
    target: Path,
    machine: Machine,
    speeds: MeasuredSpeeds | None = None,
    *,
    device: str = "cpu",
) -> ConversionNeeds:
    """What one conversion takes at its peak.

    Args:
        plan: The result.
        source_bytes: Bytes of the tensors that are read.
        target: The file or folder that is written; its disk counts.
        machine: The computer, with as many threads as the job may use.
        speeds: Earlier conversions, for the time.
        device: Where the encoding is computed, "cpu" or "cuda:0".
    """
    threads = max(1, machine.cpu.threads)
    rows = [tensor.shape[-1] for tensor in plan.tensors if tensor.shape]
    slice_bytes = 4 * max(SLICE_WEIGHTS, *rows)
    largest, together = _whole_matrices(plan, threads)
    lines = sum(tensor.weights // SLICE_WEIGHTS + 1 for tensor in plan.tensors)
    return ConversionNeeds(
        disk=plan.total_bytes + lines * _JOURNAL_BYTES,
        disk_free=free_bytes(target),
        memory=_PROGRAM + max(threads * slice_bytes * _COPIES, round(4 * together * _WHOLE)),
        memory_least=_LEAST_PROGRAM
        + max(threads * slice_bytes * _LEAST_COPIES, round(4 * largest * _LEAST_WHOLE)),
        memory_free=machine.memory.free,
        card=0 if device == "cpu" else _CARD + round(4 * largest * _WHOLE),
        seconds=speeds.seconds(device, plan.preset, source_bytes) if speeds else None,
    )


def _whole_matrices(plan: Plan, threads: int) -> tuple[int, int]:
    """Weights of the largest matrix that cannot be cut, and of as many as are under way."""
    largest = max(
        (
            tensor.weights
            for tensor in plan.tensors
            if isinstance(find_encoding(tensor.encoding), FolderEncoding)
        ),
        default=0,
    )
    return largest, max(largest, min(threads * largest, WEIGHTS_AT_ONCE))


def check_memory(needs: ConversionNeeds) -> None:
    """Refuse a job that cannot work; the disk is checked by `PartialFile`.

    Raises:
        NotEnoughSpace: There is less free memory than it takes at the least.
    """
    if needs.memory_least > needs.memory_free:
        raise NotEnoughSpace(
            f"Converting takes at least {size(needs.memory_least)} of memory, and "
            f"{size(needs.memory_free)} are free.",
            "Close other programs or use fewer threads, and try again.",
        )
