"""What showing a model a text takes on this computer's processor: arithmetic, and a wide span.

An importance matrix reads it once. A method that sees the model at work reads it twice, a layer at
a time: through the original weights, and through the quantized ones.
"""

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
_SHOWN = 128 * DEFAULT_CONTEXT  # tokens that methods are shown, as app.worker.shown has it
_SOLVED = 0.5e6, 2.5e6  # weights a second of one core, whose codes a method chooses
_FLOAT = 4  # bytes of a number that is computed


def calibration_seconds(
    demand: Demand, weights: int, source_bytes: int, machine: Machine, tokens: int = _TOKENS
) -> tuple[float, float]:
    """From and to.

    Every weight of the layers is multiplied and added once for each token; of a mixture's
    experts, those that a token does not use are not.

    Args:
        demand: The model in any one encoding; only its parts' proportions count.
        weights: Number of all its weights.
        source_bytes: Bytes that are read.
        machine: The computer.
        tokens: How many are read.
    """
    geometry = demand.geometry
    used = geometry.experts_used / geometry.experts if geometry and geometry.experts else 1.0
    busy = sum(layer.nbytes - layer.experts * (1 - used) for layer in demand.layers)
    operations = 2 * tokens * weights * busy / max(1, demand.weights)
    cores = _cores(machine)
    slow, fast = (
        _STARTING + operations / (cores * core) + source_bytes / reading
        for core, reading in zip(_CORE, _READING, strict=True)
    )
    return fast, slow


def fitting_seconds(
    demand: Demand, weights: int, source_bytes: int, machine: Machine
) -> tuple[float, float]:
    """The same for a method that sees the model at work, with all the numbers it then chooses."""
    fast, slow = calibration_seconds(demand, weights, source_bytes, machine, 2 * _SHOWN)
    slowest, fastest = (weights / _cores(machine) / pace for pace in _SOLVED)
    return fast + fastest, slow + slowest


def fitting_memory(demand: Demand, weights: int) -> int:
    """Bytes beside those of a usual conversion: a layer twice, statistics, and hidden states.

    Of what matrices multiply, three kinds are as wide as the hidden vector and one as the
    feed-forward part; whoever solves for the widest needs its second moment three times.
    """
    geometry = demand.geometry
    largest = max((layer.nbytes for layer in demand.layers), default=0)
    layer = _FLOAT * round(weights * largest / max(1, demand.weights))
    if geometry is None:
        return 2 * layer
    moments = 3 * geometry.hidden**2 + 3 * max(geometry.inner, geometry.hidden) ** 2
    return 2 * layer + _FLOAT * (moments + 2 * _SHOWN * geometry.hidden)


def _cores(machine: Machine) -> int:
    return max(1, machine.cpu.cores or machine.cpu.threads // 2)
