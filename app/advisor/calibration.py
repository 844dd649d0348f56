"""How long an importance matrix takes on this computer's processor: arithmetic, and a wide span."""

from __future__ import annotations

from app.advisor.demand import Demand
from app.calibration.text import DEFAULT_CHUNKS
from app.core.machine import Machine
from app.evaluation.text import DEFAULT_CONTEXT

_TOKENS = DEFAULT_CHUNKS * DEFAULT_CONTEXT
#: Floating-point operations a second of one core in products of float32 matrices; old and new ones.
_CORE = 15e9, 60e9
_READING = 0.3e9, 2e9  # bytes of the source a second, with what it takes to make float32 of them
_STARTING = 5.0  # seconds for loading PyTorch and cutting the text


def calibration_seconds(
    demand: Demand, weights: int, source_bytes: int, machine: Machine
) -> tuple[float, float]:
    """From and to.

    Every weight of the layers is multiplied and added once for each token; of a mixture's
    experts, those that a token does not use are not.

    Args:
        demand: The model in any one encoding; only its parts' proportions count.
        weights: Number of all its weights.
        source_bytes: Bytes that are read.
        machine: The computer.
    """
    geometry = demand.geometry
    used = geometry.experts_used / geometry.experts if geometry and geometry.experts else 1.0
    busy = sum(layer.nbytes - layer.experts * (1 - used) for layer in demand.layers)
    operations = 2 * _TOKENS * weights * busy / max(1, demand.weights)
    cores = max(1, machine.cpu.cores or machine.cpu.threads // 2)
    slow, fast = (
        _STARTING + operations / (cores * core) + source_bytes / reading
        for core, reading in zip(_CORE, _READING, strict=True)
    )
    return fast, slow
