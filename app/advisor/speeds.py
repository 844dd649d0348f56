"""How fast earlier jobs were on this computer, to say how long the next one takes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from app.core.files import write_atomic
from app.core.needs import TimeSpan
from app.core.places import user_data
from app.core.recipe import Recipe

_SAME = (0.8, 1.4)  # of the time that the last work of the same kind suggests
_OTHER = (0.4, 2.5)  # of what other kinds suggest


class MeasuredSpeeds:
    """Amounts a second, by device and kind of work; the last job of each counts."""

    def __init__(self, path: Path, least_seconds: float = 1.0) -> None:
        """Work that took less than `least_seconds` is not representative."""
        self._path, self._least_seconds = path, least_seconds
        self._rates = _read(path)

    def add(self, device: str, kind: str, amount: float, seconds: float) -> None:
        """Keep how long an amount of work took."""
        if seconds < self._least_seconds:
            return
        rates = {**self._rates.get(device, {}), kind: amount / seconds}
        self._rates = {**self._rates, device: rates}
        write_atomic(self._path, json.dumps(self._rates, indent=1).encode())

    def seconds(self, device: str, kind: str, amount: float) -> TimeSpan | None:
        """How long so much will take; None where nothing was timed yet."""
        rates = self._rates.get(device)
        if not rates:
            return None
        least, most = _SAME if kind in rates else _OTHER
        time = amount / rates.get(kind, median(rates.values()))
        return TimeSpan(least * time, most * time)


def conversion_speeds() -> MeasuredSpeeds:
    """Bytes of source a second, by `conversion_kind`, from the first to the file in its place."""
    return MeasuredSpeeds(user_data() / "conversion_speeds.json")


def conversion_kind(recipe: Recipe) -> str:
    """What takes about the same time a byte."""
    plain = recipe.method == Recipe(recipe.preset).method
    return recipe.preset if plain else f"{recipe.preset} {recipe.method}"


def calibration_speeds() -> MeasuredSpeeds:
    """Multiplications a second, by `Reading.kind`.

    Kept apart, as they say nothing about each other. What takes a few seconds is a small model,
    whose matrices keep no processor busy.
    """
    return MeasuredSpeeds(user_data() / "calibration_speeds.json", least_seconds=20)


def _read(path: Path) -> Mapping[str, Mapping[str, float]]:
    """What the file holds; a file that is damaged counts as empty."""
    try:
        found = json.loads(path.read_bytes())
        return {
            device: {kind: rate for kind, rate in rates.items() if 0 < float(rate) < 1e18}
            for device, rates in found.items()
        }
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
