"""Write docs/calibrated.md: what GPTQ gains on GGUF's own grids, at the same size.

    python tests/benchmarks/calibrated.py [--only [FORMAT ...]] [--samples N] [--threads N]

Each format is made of two real models in three ways, by whole jobs as a person starts them, and
judged by the same held-out text as in docs/recipes.md. Everything measured is kept in
tests/benchmarks/calibrated.json; with --only, just the formats named are measured anew, and
without any name just the page is. Takes about half an hour on two idle processors.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(Path(__file__).parents[1]), str(ROOT)]
# Set before any library looks: waiting threads would be counted as busy ones.
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

import judge
from losses import Loss, Reference

from app.core.job import Job, Output
from app.core.places import sample_model
from app.core.recipe import AUTOMATIC, Recipe
from app.core.report import load_report
from app.worker.convert import convert

PAGE = ROOT / "docs" / "calibrated.md"
KEPT = Path(__file__).with_suffix(".json")
PRESETS = ("Q4_0", "Q4_K_M", "Q5_K_M")
SMOLLM2, SAMPLE = "SmolLM2-135M", "sample"
TOKENS = 2048
"""Read by each model; half of them are scored."""
WAYS = {"plain": {}, "weighed": {"importance": AUTOMATIC}, "GPTQ": {"method": "gptq"}}

HEAD = """# GPTQ on GGUF's grids

GPTQ rounds the columns of a matrix one after the other, and lets those that are not rounded yet
make up for the error. Nibble does this on the grids of GGUF's own blocks: the file has the same
size and runs at the same speed in the same programs, and its predictions are nearer to the
source's. Written by

```
python tests/benchmarks/calibrated.py
```

**plain** is rounding to the nearest, with each block's own search; **weighed** is the same with
an importance matrix of 64 windows of Nibble's mixed text; **GPTQ** is

```
nibble quantize MODEL --format Q4_K_M --method gptq
```

with up to 128 windows of 512 tokens of the same text, layer by layer, where each layer is shown
what the quantized layers before it compute. (With `--set quantized_inputs=no` it is shown what the
original ones compute: KL of SmolLM2's Q4_0 was 0.0956 then, in place of 0.0886.) **KL**,
**perplexity** and **same word** are those of [recipes.md](recipes.md), on the same held-out text;
**CPU s** is the processor time of the whole job without its evaluation, added up over all cores: at
best, two cores need half of it.

"""
COLUMNS = ("format", "way", "MB", "KL mean", "error", "KL 99 %", "perplexity", "same word", "CPU s")


def measure(reference: Reference, source: Path, presets: list[str], args: Any) -> Iterator[Any]:
    """Every way of every preset."""
    for preset in presets:
        for way in args.ways:
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                os.environ["NIBBLE_HOME"] = name  # nothing is known from another time
                target = folder / f"{preset}.gguf"
                options = tuple(tuple(one.split("=")) for one in args.set) if way == "GPTQ" else ()
                recipe = Recipe(preset, options=options, **WAYS[way])
                job = Job(
                    "b",
                    str(source),
                    (Output(str(target), recipe),),
                    threads=args.threads,
                    evaluate=False,
                    samples=args.samples,
                )
                began = time.process_time()
                for _ in convert(job, folder):
                    pass
                seconds = time.process_time() - began
                report = load_report(folder / "report-0.json")
                loss = Loss.of(reference.scores(target), report.bytes_after, report.bits_per_weight)
            print(f"{preset:8} {way:8} KL {loss.kl:.5f}  {seconds:7.1f} s", flush=True)
            yield preset, way, {**asdict(loss), "seconds": seconds}


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    lines = [f"| {' | '.join(COLUMNS)} |", f"|---|---|{'---:|' * (len(COLUMNS) - 2)}"]
    for preset in PRESETS:
        for way, values in found.get(preset, {}).items():
            seconds = values["seconds"]
            loss = Loss(**{key: value for key, value in values.items() if key != "seconds"})
            cells = (
                preset,
                way,
                f"{loss.size / 1e6:,.1f}",
                f"{loss.kl:.4f}",
                f"{loss.kl_error:.4f}",
                f"{loss.kl_p99:.3f}",
                f"{loss.ppl_ratio:.3f}",
                f"{100 * loss.same_top:.1f} %",
                f"{seconds:,.0f}",
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def page(kept: Mapping[str, Any]) -> str:
    titles = {SMOLLM2: "SmolLM2-135M, as in recipes.md", SAMPLE: "The sample model"}
    parts = [f"## {title}\n\n{table(kept[name])}" for name, title in titles.items() if name in kept]
    return HEAD + "\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="*", metavar="FORMAT", choices=PRESETS)
    parser.add_argument("--models", nargs="*", default=[SAMPLE, SMOLLM2])
    parser.add_argument("--ways", nargs="*", default=list(WAYS), choices=WAYS)
    parser.add_argument("--set", nargs="*", default=[], metavar="OPTION=VALUE")
    parser.add_argument("--samples", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--tokens", type=int, default=TOKENS)
    parser.add_argument("--dry", action="store_true", help="keep nothing")
    args = parser.parse_args()
    chosen = list(PRESETS) if args.only is None else args.only
    kept = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    folders = {SAMPLE: sample_model, SMOLLM2: judge.folder}
    for name in args.models if chosen else ():
        source = folders[name]()
        for preset, way, loss in measure(Reference(source, args.tokens), source, chosen, args):
            kept.setdefault(name, {}).setdefault(preset, {})[way] = loss
            if not args.dry:
                KEPT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    if not args.dry:
        PAGE.write_text(page(kept), encoding="utf-8")


if __name__ == "__main__":
    main()
