"""How fast conversions were on this computer, to say how long the next one takes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from app.core.files import write_atomic
from app.core.places import user_data

_LEAST_SECONDS = 1.0  # shorter jobs measure how a program starts
_SAME = (0.8, 1.4)  # of the time that the last one of the same kind suggests
_OTHER = (0.4, 2.5)  # of what other presets suggest


class MeasuredSpeeds:
    """Bytes of source a second, by device and preset; the last job of each counts."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or user_data() / "conversion_speeds.json"
        self._rates = _read(self._path)

    def add(self, device: str, preset: str, nbytes: int, seconds: float) -> None:
        """Keep what a job took, from the first byte read to the file in its place."""
        if seconds < _LEAST_SECONDS:
            return
        rates = {**self._rates.get(device, {}), preset: nbytes / seconds}
        self._rates = {**self._rates, device: rates}
        write_atomic(self._path, json.dumps(self._rates, indent=1).encode())

    def seconds(self, device: str, preset: str, nbytes: int) -> tuple[float, float] | None:
        """From and to, for `nbytes` of source; None where nothing was converted yet."""
        rates = self._rates.get(device)
        if not rates:
            return None
        reach = _SAME if preset in rates else _OTHER
        time = nbytes / rates.get(preset, median(rates.values()))
        return reach[0] * time, reach[1] * time


def _read(path: Path) -> Mapping[str, Mapping[str, float]]:
    """What the file holds; a file that is damaged counts as empty."""
    try:
        found = json.loads(path.read_bytes())
        return {
            device: {preset: rate for preset, rate in rates.items() if 0 < float(rate) < 1e15}
            for device, rates in found.items()
        }
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
