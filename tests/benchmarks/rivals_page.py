"""The page that rivals.py writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

HEAD = """# Beside other libraries

Nibble's calibrated methods and those of other libraries, with the settings that each comes with,
on the same model, shown the same tokens, judged by the same code. Written by

```
python tests/runtimes/install.py
python tests/benchmarks/rivals.py
```

The model is SmolLM2-135M (see `tests/benchmarks/judge.py`); calibrated methods are shown {windows}
windows of {length} tokens of Nibble's mixed text, those called just AWQ {few}, as other libraries
would take an hour for more. Each library writes a folder; Nibble reads it,
decodes the weights, and compares the model's predictions with the source's on {scored:,} other
tokens, a chapter of *Emma*, of which the second half of each window is scored. **KL** is the mean
Kullback-Leibler divergence from the source, in nats, with its standard error; **same word** is how
often both put the same word first. **Against the best** is KL over that of the best other library's
result with the same method: the tokens are the same, so that ratios are surer than the means.

**A layer** is the time for one layer on two threads, with statistics, solving and writing: the
difference between a model of {long} layers and one of {short}, divided by {between}, so that
starting and loading do not count; of rounding, which needs no text, with layers of random weights
that are {width:,} wide, the shortest of {tries} tries. **Times as long** is against Nibble's own;
in brackets, the same of the processor's time, all threads together.

"""
OURS = "Nibble"
TITLES = {
    "symmetric": "4 bits in groups of 128, symmetric",
    "asymmetric": "4 bits in groups of 128, with zero points",
    "inputs": "8 bits for weights and inputs, on a model with outlier channels",
    "floats": "8-bit floats (E4M3) with a scale a row",
    "sample-symmetric": "The sample model: 4 bits in groups of 128, symmetric",
    "sample-asymmetric": "The sample model: 4 bits in groups of 128, with zero points",
}
NOTES = {
    "inputs": """Six channels of what every norm gives are 32 times larger than in the model, and
the matrices behind them smaller by as much: it computes the same. When it is judged, the inputs of
all matrices are rounded to 8 bits with a scale for each token, as runtimes do it.

""",
    "sample-symmetric": """The model that comes with Nibble, 8 layers of 256 columns, loses little
to begin with, so that it is judged by {scored_sample:,} tokens.

""",
}
COLUMNS = (
    "method", "library", "KL", "same word", "against the best", "a layer", "times as long",
)  # fmt: skip


class Row(Protocol):
    """What a line of a table is about; see `rivals.Contender`."""

    @property
    def who(self) -> str: ...
    @property
    def what(self) -> str: ...
    @property
    def task(self) -> str: ...
    @property
    def name(self) -> str: ...


def page(
    rows: Sequence[Row],
    kept: Mapping[str, Any],
    facts: Mapping[str, int],
    versions: Mapping[str, str],
) -> str:
    """All tables; rows that were not measured are left out."""
    parts = [HEAD.format(**facts, between=facts["long"] - facts["short"])]
    for task, title in TITLES.items():
        some = [row for row in rows if row.task == task and "kl" in kept.get(row.name, {})]
        head = [f"| {' | '.join(COLUMNS)} |", f"|---|---|{'---:|' * (len(COLUMNS) - 2)}"]
        lines = [_line(row, some, kept) for row in some]
        if not some:
            continue
        note = NOTES.get(task, "").format(**facts)
        parts.append(f"## {title}\n\n{note}" + "\n".join([*head, *lines]) + "\n\n")
    listed = ", ".join(f"{name} {number}" for name, number in versions.items())
    return "".join(parts) + f"Versions: {listed}.\n"


def _line(row: Row, rows: Sequence[Row], kept: Mapping[str, Any]) -> str:
    found, ours = kept[row.name], row.who == OURS
    alike = [one for one in rows if _method(one) == _method(row) and (one.who == OURS) != ours]
    against = ""
    if ours and alike:
        best = min(kept[one.name]["kl"] for one in alike)
        against = f"{found['kl'] / best:.2f}"
    longer = ""
    if not ours and alike and _seconds(found) and _seconds(kept[alike[0].name]):
        longer = _times(found, kept[alike[0].name])
    cells = (
        row.what,
        f"**{row.who}**" if ours else row.who,
        f"{found['kl']:.4f} ± {found['error']:.4f}",
        f"{100 * found['same_top']:.1f} %",
        against,
        f"{_seconds(found):.2f} s" if _seconds(found) else "",
        longer,
    )
    return f"| {' | '.join(cells)} |"


def _method(row: Row) -> str:
    """Without its settings."""
    return row.what.split(",")[0]


def _seconds(found: Mapping[str, Any], clock: str = "seconds") -> float:
    """For a layer; 0 where it was not timed."""
    return float(found.get("layer", {}).get(clock, 0.0))


def _times(found: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    ratios = (_seconds(found, clock) / _seconds(ours, clock) for clock in ("seconds", "processor"))
    return "{:.1f} ({:.1f})".format(*ratios)
