"""Write docs/speed.md: how fast and how near the encodings are, beside ggml's own. Run by hand.

    python tests/benchmarks/speed_table.py [--only [TYPE ...]] [--threads N]

What was measured is kept in tests/benchmarks/speed_table.json; with --only, just the types named
are measured anew, and without any name just the page is. Takes about ten minutes. Two threads can
only be compared with one (--threads 2) while nothing else runs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from statistics import mean
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests" / "encodings"), str(ROOT)]

import torch
from expectations import SAME_WITH, SAME_WITHOUT
from test_against_ggml import ORDINARY, WEIGHED, compared

from app.devices.cpu import processor
from app.encodings import ENCODINGS
from app.evaluation.speed import WITH_KERNELS, Ggml, measure

PAGE = ROOT / "docs" / "speed.md"
KEPT = Path(__file__).with_suffix(".json")
JOBS = KEPT.with_name("large_job.json")

LATTICES = dict.fromkeys(("IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S"), 2.0)
PLAIN = LATTICES | dict.fromkeys(("Q2_K", "Q4_K", "Q5_K", "IQ4_NL", "IQ4_XS"), 3.0)
SPEEDS = {"plain": PLAIN, "weighed": PLAIN | dict.fromkeys(("Q3_K", "Q6_K"), 3.0)}
"""How many times as fast as ggml an encoding has to be; one that is not named, once."""
MEAN_ERROR, LARGEST_ERROR = 1.0, 1.01
SCALING = 1.8

HEAD = """# How fast the encodings are, and how near

Every encoding beside ggml's function for the same type, in one process and in turns. Written by

```
python tests/benchmarks/speed_table.py
```

on {machine}.

## Speed

Millions of weights a second on one thread, by its own processor time; "x" is how many times as fast
as ggml that is, the median of the ratios of neighbouring runs. "Weighed" is with an importance
matrix. {about_threads}

{speeds}

## Errors

The mean square error of what we encode over that of what ggml encodes: the mean over {kinds} kinds
of weights (normal, heavy tails, spikes, off center, real ones of the sample model, ...) and the
largest. Below 1 is better than ggml; "same bytes" where there is nothing to choose. "Weighed"
errors count by importances of four kinds, which ggml is given, too.

{errors}

{jobs}## Targets

At least three times as fast as ggml: Q2_K, Q4_K, Q5_K, IQ4_NL and IQ4_XS, and with importances also
Q3_K and Q6_K. At least twice: IQ2 and IQ3. Nothing slower. Errors at most ggml's in the mean, and
1.01 of them for any kind of weights. Two threads at least 1.8 times as fast as one.

{missed}
"""

RESULTS_APART = " Results were written to memory, not to the disk."
THREADS = '"Threads" is how much sooner {} threads are done than one, in wall time.'
NO_THREADS = """How much sooner several threads are done was not measured, because other programs
were running."""

JOBS_TEXT = """## Whole jobs

{gigabytes:.1f} GB of random BF16 weights in layers of an 8 B model, on {threads} threads, each job
in a process of its own with everything but the measuring (`tests/benchmarks/large_job.py`). What is
not memory of its own are pages of the source's file, which the system may take back.

{table}

The first row read the source from the disk, the others from the system's cache: {waiting:.0%} of
its time was spent waiting for it. Three formats in one job took {share:.0%} of the processor time
of three jobs, and {wall:.0%} of their seconds.{results}

"""


def errors_of(name: str) -> dict[str, dict[str, float] | None]:
    """Ratios to ggml over all kinds of weights; None where the bytes are the same anyway."""
    ggml = Ggml.installed()
    assert ggml
    alike = {kind: (weight, None) for kind, weight in ORDINARY.items()}
    cases = {"plain": (alike, SAME_WITHOUT), "weighed": (WEIGHED, SAME_WITH)}
    found: dict[str, dict[str, float] | None] = {}
    for case, (pairs, same) in cases.items():
        ratios = None if name in same else compared(name, pairs, ggml, decoded).values()
        found[case] = ratios and {"mean": mean(ratios), "largest": max(ratios)}
    return found


def decoded(name: str, blocks: torch.Tensor) -> torch.Tensor:
    """Blocks as numbers, flat. That all readers agree is a test of its own."""
    encoding = ENCODINGS[name]
    rows = blocks.contiguous().view(-1, encoding.block_bytes)
    return encoding.decode({"blocks": rows}, (len(rows), encoding.block)).view(-1)


def speed_rows(kept: Mapping[str, Any]) -> list[tuple[str, ...]]:
    threads = kept["threads"] > 1
    head = ("type", "plain", "ggml", "x", "weighed", "ggml", "x", "decodes")
    rows = [(*head, "threads") if threads else head]
    for name in WITH_KERNELS:
        speed = kept[name]["speed"]
        paces = [cell for case in ("plain", "weighed") for cell in _pace(speed[case])]
        scaling = (f"{speed['scaling']:.2f}",) if threads else ()
        rows.append((name, *paces, _millions(speed["decode"]), *scaling))
    return rows


def _pace(pace: Mapping[str, float]) -> tuple[str, str, str]:
    return _millions(pace["ours"]), _millions(pace["ggml"]), f"**{pace['ratio']:.1f}**"


def _millions(rate: float) -> str:
    return f"{rate / 1e6:,.0f}" if rate >= 1e7 else f"{rate / 1e6:.1f}"


def error_rows(kept: Mapping[str, Any]) -> list[tuple[str, ...]]:
    rows = [("type", "plain, mean", "largest", "weighed, mean", "largest")]
    for name in WITH_KERNELS:
        cells: list[str] = []
        for case in ("plain", "weighed"):
            ratios = kept[name]["errors"][case]
            same = ("same bytes", "")
            cells += [f"{v:.3f}" for v in (ratios["mean"], ratios["largest"])] if ratios else same
        rows.append((name, *cells))
    return rows


def missed(kept: Mapping[str, Any], threads: int) -> Iterator[str]:
    """A line for each target that is not met."""
    for name in WITH_KERNELS:
        speed = kept[name]["speed"]
        for case, targets in SPEEDS.items():
            times, wanted = speed[case]["ratio"], targets.get(name, 1.0)
            if times < wanted:
                yield f"{name} {case}: {times:.2f} times as fast as ggml, {wanted:.0f} wanted"
            ratios = kept[name]["errors"][case]
            if ratios and ratios["mean"] > MEAN_ERROR:
                yield f"{name} {case}: error {ratios['mean']:.4f} of ggml's in the mean"
            if ratios and ratios["largest"] > LARGEST_ERROR:
                yield f"{name} {case}: error {ratios['largest']:.4f} of ggml's for some weights"
        if threads == 2 and speed["scaling"] < SCALING:
            yield f"{name}: {speed['scaling']:.2f} times as fast with two threads"


def jobs(kept: Mapping[str, Any]) -> str:
    """A section about whole jobs."""
    runs = [kept["cold"], kept["warm"], *kept["single"], kept["together"]]
    rows = [("formats", "seconds", "processor seconds", "peak memory", "of it its own")]
    for run in runs:
        megabytes = (f"{run[key] / 1e6:,.0f} MB" for key in ("peak", "peak_own"))
        seconds = (f"{run[key]:,.0f}" for key in ("seconds", "cpu_seconds"))
        rows.append((" + ".join(run["formats"]), *seconds, *megabytes))
    rows[1] = (f"{rows[1][0]}, from the disk", *rows[1][1:])
    alone = sum(run["cpu_seconds"] for run in kept["single"])
    return JOBS_TEXT.format(
        gigabytes=kept["bytes"] / 1e9,
        threads=kept["threads"],
        table=table(rows),
        waiting=max(0.0, 1 - kept["warm"]["seconds"] / kept["cold"]["seconds"]),
        results=RESULTS_APART if kept["results_apart"] else "",
        share=kept["together"]["cpu_seconds"] / alone,
        wall=kept["together"]["seconds"] / sum(run["seconds"] for run in kept["single"]),
    )


def table(rows: list[tuple[str, ...]]) -> str:
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join((head, f"|---|{'---:|' * (len(rows[0]) - 1)}", *body))


def page(kept: Mapping[str, Any]) -> str:
    misses = [f"* {line}" for line in missed(kept, kept["threads"])]
    return HEAD.format(
        machine=kept["machine"],
        about_threads=THREADS.format(kept["threads"]) if kept["threads"] > 1 else NO_THREADS,
        speeds=table(speed_rows(kept)),
        kinds=len(ORDINARY),
        errors=table(error_rows(kept)),
        jobs=jobs(json.loads(JOBS.read_text(encoding="utf-8"))) if JOBS.exists() else "",
        missed="Missed:\n\n" + "\n".join(misses) if misses else "All are met.",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="*", metavar="TYPE", choices=WITH_KERNELS)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    names = WITH_KERNELS if args.only is None else args.only
    kept = {} if args.only is None else json.loads(KEPT.read_text(encoding="utf-8"))
    kept |= {"machine": processor().name, "threads": args.threads}
    for speed in measure(names, threads=args.threads):
        name = speed.encoding
        kept[name] = {"speed": asdict(speed), "errors": errors_of(name)}
        plain, weighed = (pace.ratio or 0 for pace in (speed.plain, speed.weighed))
        print(f"{name:8} {plain:5.1f} x  {weighed:5.1f} x", kept[name]["errors"], flush=True)
    KEPT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(kept), encoding="utf-8")


if __name__ == "__main__":
    main()
