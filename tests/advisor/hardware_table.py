"""Writes docs/hardware.md from the table that the advisor uses.

PYTHONPATH=.:tests/advisor python tests/advisor/hardware_table.py
"""

from __future__ import annotations

import re
from pathlib import Path

from app.advisor.hardware import REQUIREMENTS, SERIES, VENDORS, Requirement
from app.core.runtime import Runtime
from app.formats import PRESETS

PAGE = Path(__file__).parents[2] / "docs" / "hardware.md"
_HEAD = """# Which hardware runs which format

Any format can be made on any computer. Where the result then runs depends on the program that
loads it and on the hardware it finds; this is what Nibble goes by when it greys a format, and
when `nibble fit --for vllm` says why one does not run. llama.cpp and what is built on it run
every GGUF file everywhere.

**Fast from** names the first cards of NVIDIA that compute in these numbers. Earlier ones turn
them into 16 bits for each product: that saves memory, not time. **Unpacked** means that the
program makes 16-bit weights of them as it loads: that saves disk, not memory. Sources are named
in `app/advisor/hardware.py`; programs change, and this page with them:

```
PYTHONPATH=.:tests/advisor python tests/advisor/hardware_table.py
```
"""


def page() -> str:
    """The whole page."""
    parts = [_HEAD]
    for runtime in (Runtime.VLLM, Runtime.TRANSFORMERS, Runtime.MLX):
        rows = [row for row in REQUIREMENTS if row.runtime is runtime]
        parts.append(f"## {runtime.label}\n\n{_table(rows)}\n")
    return "\n".join(parts)


def _table(rows: list[Requirement]) -> str:
    lines = [
        "| formats | NVIDIA | other cards | processor | fast from | unpacked |",
        "|---|---|---|---|---|---|",
    ]
    taken: set[str] = set()
    for row in rows:
        names = [
            preset.name
            for form, preset in PRESETS.values()
            if row.runtime in form.runtimes(preset) and re.fullmatch(row.presets, preset.name)
        ]
        mine = [name for name in names if name not in taken]
        taken |= set(mine)
        if mine:
            lines.append(f"| {', '.join(mine)} | {' | '.join(_cells(row))} |")
    return "\n".join(lines)


def _cells(row: Requirement) -> tuple[str, ...]:
    cards = f"from {SERIES[row.nvidia]}" if row.nvidia else "no"
    if row.below:
        cards += f", before {SERIES[row.below]}"
    others = ", ".join(VENDORS[vendor] for vendor in VENDORS if vendor in row.others)
    unpacked = "yes" if row.unpacked else ""
    if row.unpacked_below:
        unpacked = f"before {SERIES[row.unpacked_below]}, and elsewhere"
    fast = SERIES[row.computes] if row.computes else ""
    return cards, others or "no", "yes" if row.processor else "no", fast, unpacked


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
