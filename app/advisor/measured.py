"""Real loads on this computer, kept to correct what is estimated.

After a program has loaded a model, what it really took is compared with what was predicted, for
each device, way to reach it, and family of models. The median difference corrects the next
estimate, and the scatter of the differences narrows its range.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from app.core.files import write_atomic
from app.core.places import user_data

_KEPT = 20  # of each kind; drivers change
_ENOUGH = 3  # loads before the range is narrowed
_LARGEST = 1 << 50


@dataclass(frozen=True, slots=True)
class Kind:
    """What loads are compared with each other."""

    device: str
    """Name of the card, or "Memory"."""
    backend: str
    """"cuda", "cpu" ..."""
    family: str
    """llama.cpp's name of the architecture."""


@dataclass(frozen=True, slots=True)
class Load:
    """One model that was loaded. Bytes."""

    predicted: int
    measured: int


@dataclass(frozen=True, slots=True)
class Correction:
    """What to add to an estimate. Bytes."""

    offset: int = 0
    scatter: int = 0
    """Largest distance of a load from the corrected estimate."""
    loads: int = 0

    @property
    def narrows(self) -> bool:
        """Whether there are enough loads to trust their scatter."""
        return self.loads >= _ENOUGH


class MeasuredFits:
    """The store, `measured_fits.json` in the user's folder unless it is told another place."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or user_data() / "measured_fits.json"
        self._loads = _read(self._path)

    def add(self, kind: Kind, load: Load) -> None:
        """Keep what a model took. A file that cannot be written is an error of the system's."""
        loads = [*self._loads.get(kind, ()), load][-_KEPT:]
        self._loads = {**self._loads, kind: tuple(loads)}
        rows = [
            {**asdict(kind), "loads": [[load.predicted, load.measured] for load in loads]}
            for kind, loads in self._loads.items()
        ]
        write_atomic(self._path, json.dumps(rows, indent=1).encode())

    def correction(self, kind: Kind) -> Correction:
        """What earlier loads of this kind say; of no effect where there were none."""
        loads = self._loads.get(kind, ())
        if not loads:
            return Correction()
        differences = [load.measured - load.predicted for load in loads]
        offset = round(median(differences))
        scatter = max(abs(difference - offset) for difference in differences)
        return Correction(offset, scatter, len(loads))


def _read(path: Path) -> Mapping[Kind, tuple[Load, ...]]:
    """What the file holds; a file that is damaged counts as empty."""
    try:
        rows = json.loads(path.read_bytes())
        return {
            Kind(row["device"], row["backend"], row["family"]): tuple(
                Load(_size(pair[0]), _size(pair[1])) for pair in row["loads"]
            )[-_KEPT:]
            for row in rows
        }
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def _size(value: object) -> int:
    if type(value) is not int or not 0 <= value < _LARGEST:
        raise ValueError(value)
    return value
