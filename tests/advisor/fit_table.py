"""Write docs/fit.md: how near the estimates are to the real llama.cpp. Run by hand."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from families import CONFIGS
from figures import Figures, figures

TARGET = Path(__file__).parents[2] / "docs" / "fit.md"
MIB = 1 << 20
HEAD = """# How near the estimates are

`nibble fit` says what a model takes before it is loaded. Here its figures stand beside what the
real llama.cpp lays out for models of the dimensions of those named, with fewer layers and in the
largest mixtures fewer experts, so that any machine can repeat it:

```
python tests/advisor/fit_table.py
```

Sizes are in MiB. **Cache** is what keys, values and states take, **computing** the buffer of
intermediate results of a batch of 512 tokens, as its range. **Total** is the weights (as Q8_0),
the cache, the middle of computing, and the output. All is for one text at a time, with the cache of
sliding windows limited to the window, as llama.cpp's programs run it. Measured on the processor;
what a graphics card's driver takes besides comes from others' measurements and has not been
measured here.

Whether a model then really runs is asked in `tests/advisor/test_fit_in_llama_cpp.py`: 25 models are
loaded and used under limits on the process's memory, two below the least that was said and two from
the most that was said, a hundred answers in all.

"""
COLUMNS = (
    "model", "context", "cache type", "cache", "real", "computing", "real", "total", "real", "off",
)  # fmt: skip


def row(name: str, item: Figures) -> str:
    """One line of the table."""
    span = item.computing
    cells = (
        name,
        f"{item.context:,}",
        item.cache_type,
        f"{item.cache / MIB:,.1f}",
        f"{item.real_cache / MIB:,.1f}",
        f"{span.low / MIB:,.0f} to {span.high / MIB:,.0f}",
        f"{item.real_computing / MIB:,.0f}",
        f"{item.total / MIB:,.0f}",
        f"{item.real_total / MIB:,.0f}",
        f"{100 * (item.total / item.real_total - 1):+.1f} %",
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure everything and write the page."""
    lines = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    worst_cache = worst_total = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for name, config in CONFIGS.items():
            for item in figures(Path(folder), name, config):
                lines.append(row(name, item))
                worst_cache = max(worst_cache, abs(item.cache / item.real_cache - 1))
                worst_total = max(worst_total, abs(item.total - item.real_total))
    summary = (
        f"{len(CONFIGS)} models, {len(lines) - 2} runs. The cache is off by "
        f"{100 * worst_cache:.2f} % at most, the total by {worst_total / MIB:.0f} MiB at most.\n\n"
    )
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(HEAD + summary + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
