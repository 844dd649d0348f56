"""How fast the memory is read: what limits a model that runs on the processor.

Writing one word reads every weight once, so bytes a second from memory bound words a
second. The test reads an array that no cache holds with several threads and takes the
best of a few passes; everything that disturbs it makes a pass slower, never faster.
The result is kept, as it is a property of the computer.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.core.files import write_atomic
from app.core.machine import Cpu, Space
from app.core.places import user_data

if TYPE_CHECKING:
    import numpy as np

_BYTES = 1 << 30
_SECONDS = 0.5


def measure_bandwidth(threads: int, available: int) -> float:
    """Bytes a second from memory; 0 when there is too little of it free to tell.

    Takes about a second and up to 1 GiB.

    Args:
        threads: As many as the processor has cores; more add nothing.
        available: Free memory in bytes; a quarter of it is used at most.
    """
    import numpy as np

    nbytes = min(_BYTES, available // 4)
    if nbytes < 64 << 20:
        return 0.0
    whole = np.empty(nbytes // 8, dtype=np.uint64)
    parts = np.array_split(whole, max(1, threads))
    with ThreadPoolExecutor(len(parts)) as pool:
        list(pool.map(_touch, parts))
        best = float("inf")
        end = time.perf_counter() + _SECONDS
        while time.perf_counter() < end:
            start = time.perf_counter()
            list(pool.map(_read, parts))
            best = min(best, time.perf_counter() - start)
    return whole.nbytes / best


def remember(cpu: Cpu, memory: Space, bandwidth: float) -> None:
    """Keep what was measured with this processor and this much memory, if the disk lets us."""
    content = {"processor": cpu.name, "memory": memory.total, "bandwidth": bandwidth}
    with contextlib.suppress(OSError):
        write_atomic(_file(), json.dumps(content).encode())


def remembered(cpu: Cpu, memory: Space) -> float:
    """What was measured with this processor and this much memory before; 0 when nothing was."""
    try:
        content = json.loads(_file().read_bytes())
        same = content["processor"] == cpu.name and content["memory"] == memory.total
        bandwidth = float(content["bandwidth"])
    except (OSError, ValueError, TypeError, KeyError):
        return 0.0
    return bandwidth if same and math.isfinite(bandwidth) and bandwidth > 0 else 0.0


def _file() -> Path:
    return user_data() / "memory_speed.json"


def _touch(part: np.ndarray[Any, Any]) -> None:
    """Write every page, as only then it has memory of its own."""
    part.fill(1)


def _read(part: np.ndarray[Any, Any]) -> int:
    """Take the largest: of numpy's passes the one that waits for nothing but memory."""
    return int(part.max())
