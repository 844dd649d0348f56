"""Numbers in words, the same everywhere: sizes, times, shares."""

from __future__ import annotations


def size(nbytes: float) -> str:
    """Bytes as the system's file manager shows them: powers of ten, one decimal under 100."""
    value, units = float(nbytes), ["bytes", "kB", "MB", "GB", "TB"]
    while value >= 999.5 and len(units) > 1:
        value /= 1000
        units.pop(0)
    if units[0] == "bytes":
        return f"{value:.0f} bytes"
    return f"{value:.1f} {units[0]}" if value < 99.95 else f"{value:.0f} {units[0]}"


def memory(nbytes: float) -> str:
    """Bytes of a memory as its maker counts them, in powers of two: 12 GB, 8.9 GB."""
    for unit, bits in (("TB", 40), ("GB", 30), ("MB", 20)):
        value = nbytes / 2**bits
        if value >= 0.9995:
            digits = 1 if value < 99.95 else 0
            return f"{value:.{digits}f} {unit}".replace(".0 ", " ")
    return f"{nbytes / 2**10:.0f} kB"


def count(number: float) -> str:
    """A number of weights: 8.2 B, 135 M, 5.8 M, 960."""
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if number >= limit * 0.9995:
            value = number / limit
            return f"{value:.1f} {unit}" if value < 99.95 else f"{value:.0f} {unit}"
    return f"{number:.0f}"


def duration(seconds: float) -> str:
    """A time span in one or two units: 40 s, 3 min, 2 h 10 min."""
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def percent(share: float) -> str:
    """0.934 -> "93.4 %"."""
    return f"{100 * share:.1f} %"
