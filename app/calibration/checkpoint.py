"""How far a calibration has come, on disk, so that one that was cut off goes on there.

Kept after whole layers, at most once in a while: the hidden states of all windows may take
gigabytes. A file that cannot be read counts as none.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from app.calibration.collectors import Collected, Collector, Statistic
from app.core.files import SPARE_BYTES, free_bytes, move_into_place

if TYPE_CHECKING:
    from torch import Tensor

_SECONDS = 120.0
"""Work that may be lost."""


@dataclass(frozen=True, slots=True)
class State:
    """The state behind some layers, as an earlier run has left it."""

    layers: int
    found: Collected
    """What was collected until then."""
    _path: Path

    def restore(self, hidden: Tensor) -> bool:
        """Make `hidden` what it was then; False, and unchanged, if it is not of that form."""
        from safetensors import safe_open

        with safe_open(self._path, "pt") as file:
            kept = file.get_slice("hidden")
            if kept.get_shape() != list(hidden.shape) or kept[:0].dtype != hidden.dtype:
                return False
            for number, states in enumerate(hidden):  # the whole may be too large for the memory
                states.copy_(kept[number])
        return True


@dataclass(slots=True)
class LayerCheckpoint:
    """The file of one calibration."""

    path: Path
    seconds: float = _SECONDS
    key: str = ""
    """Of what it is the state, where the path does not tell."""
    _saved: float = field(default_factory=time.monotonic, init=False)

    def load(self, collector: Collector) -> State | None:
        """What an earlier run has left, if it was about the same."""
        from safetensors import SafetensorError, safe_open

        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, "pt") as file:
                facts = json.loads((file.metadata() or {})["facts"])
                if facts["key"] != self.key:
                    return None
                # Copies: Windows does not replace a file that is mapped.
                values = {
                    name: file.get_tensor(name).clone()
                    for name in file.keys()  # noqa: SIM118
                    if name != "hidden"
                }
            found = Collected(collector)
            for name, matrix, tokens, number in facts["statistics"]:
                found.add(name, matrix, Statistic(tokens, values[str(number)]))
            return State(facts["layers"], found, self.path)
        except (OSError, ValueError, LookupError, TypeError, SafetensorError):
            return None

    def save(self, layers: int, hidden: Tensor, found: Collected) -> None:
        """Keep the state behind `layers` layers, if the last one is old and there is room."""
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        if time.monotonic() - self._saved < self.seconds:
            return
        statistics = [(name, *item) for name in found.names() for item in found.of(name)]
        # Matrices with the same inputs share a value.
        tensors = {str(id(known.value)): known.value for _, _, known in statistics}
        tensors["hidden"] = hidden
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if sum(tensor.nbytes for tensor in tensors.values()) + SPARE_BYTES > free_bytes(self.path):
            return
        listed = [(name, i, known.tokens, id(known.value)) for name, i, known in statistics]
        facts = json.dumps({"key": self.key, "layers": layers, "statistics": listed})
        unfinished = self.path.with_suffix(".new")
        try:
            save_file(tensors, unfinished, metadata={"facts": facts})
            with unfinished.open("rb+") as file:  # a power cut must not leave the name alone
                os.fsync(file.fileno())
            move_into_place(unfinished, self.path)
        except (OSError, SafetensorError):  # a full disk costs the resumption, not the job
            unfinished.unlink(missing_ok=True)
        self._saved = time.monotonic()

    def forget(self) -> None:
        """Delete the file: the calibration is complete."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)
