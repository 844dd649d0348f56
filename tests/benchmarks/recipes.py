"""Write docs/recipes.md and resources/quality.json: what every format costs two real models.

    python tests/benchmarks/recipes.py [--only [FORMAT ...]]

Everything that was measured is kept in tests/benchmarks/recipes.json; with --only, just the formats
named are measured anew, and without any name just the page is. Takes about half an hour on two
processors.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(Path(__file__).parents[1]), str(ROOT)]

import judge
from losses import ON_CPU, Loss, Reference, ended
from matrices import matched

from app.calibration.importance import ImportanceOptions, importance_of
from app.core.places import sample_model
from app.core.recipe import AUTOMATIC, Recipe
from app.formats import FORMATS
from app.formats.base import Preset

PAGE = ROOT / "docs" / "recipes.md"
SHIPPED = ROOT / "resources" / "quality.json"
KEPT = Path(__file__).with_suffix(".json")
PRESETS = {preset.name: preset for preset in FORMATS["gguf"].presets}
SMOLLM2, SAMPLE = "SmolLM2-135M", "sample"
TOKENS = 2048
"""Read by each model; half of them are scored."""
EXPERTS = "MXFP4_MOE"
PLAIN, WEIGHED = "plain", "with importance"

HEAD = """# What the formats cost

Every format that Nibble offers, made of two real models and read back from disk: its size, and how
far the result's predictions are from its source's. Written by

```
python tests/benchmarks/recipes.py
```

**Bits** are bits a weight over all tensors. **KL** is the Kullback-Leibler divergence from the
source's prediction of the next word to the result's, in nats: the mean, its standard error, and the
99th percentile. **Perplexity** is the result's over the source's. **Same word** is how often both
put the same word first. The text is a chapter of *Emma* (`resources/text/evaluation.txt`),
{tokens:,} tokens in windows of 512, the second half of each scored; all formats are judged by the
same tokens, so that two rows differ more surely than their errors say. "+ matrix" is with an
importance matrix, computed by Nibble from 64 windows of its mixed text, which shares nothing with
the chapter. Where a row is missing, the format is of no use without a matrix, or a matrix changes
nothing.

A model of 135 million weights loses several times more than one of 8 billion. What to take from
here is the order of the rows, and the steps between them.

## SmolLM2-135M-Instruct

The model as it can be had without the hub would be an unfair judge twice, and is changed for this
table (`tests/benchmarks/judge.py`):

* It was published in Q4_1, and formats that meet the same 16 values in each block would look far
  better than they are. Each weight is moved to a random place within its step.
* Its rows of 576 weights do not divide by 256, so that 180 of 272 tensors could not have the type
  that a K or IQ format gives them. Zeros between the columns make 768 of 576. The wider model
  computes the same.

Its perplexity is {smollm2:.1f}; the published one's is 36.4.

{smollm2_table}
## The sample model

5,771,520 weights, perplexity {sample:.1f}; its rows are 256 and 512 long. It was trained with
strong weight decay, and bears rounding better than other models of its size.

{sample_table}
## Our importance matrix and llama.cpp's

llama-imatrix adds up the squares of what llama.cpp multiplies each weight with. The same was done
with the real llama.cpp, over the same 64 windows of 512 tokens (`tests/benchmarks/matrices.py`);
the output layer, which llama-imatrix leaves out unless it is told otherwise, is in both. The two
matrices differ by {apart:.1e} of a tensor's largest entry at most. The files made with them:

| SmolLM2-135M | KL, our matrix | KL, llama.cpp's | difference | its standard error |
|---|---:|---:|---:|---:|
{matrices}
"""
COLUMNS = (
    "format", "MB", "bits", "KL mean", "error", "KL 99 %", "perplexity", "same word",
)  # fmt: skip


def variants(preset: Preset) -> Iterator[tuple[str, Recipe]]:
    """What to measure of a preset: without and with importances, where either is of use."""
    if not preset.needs_importance:
        yield PLAIN, Recipe(preset.name)
    if preset.importance_helps:
        yield WEIGHED, Recipe(preset.name, importance=AUTOMATIC)


def measure(reference: Reference, presets: list[Preset]) -> dict[str, dict[str, Any]]:
    """Every variant of the presets, by name and variant."""
    matrix = ended(importance_of(reference.checkpoint, ImportanceOptions(), ON_CPU))
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for preset in presets:
            for kind, recipe in variants(preset):
                loss, _ = reference.loss(
                    recipe, Path(folder), matrix if recipe.importance else None
                )
                found.setdefault(preset.name, {})[kind] = asdict(loss)
                print(
                    f"{preset.name:10} {kind:16} {loss.bits:6.3f} bits  KL {loss.kl:.5f}",
                    flush=True,
                )
    return found


def measure_matrices(tokens: int) -> dict[str, Any]:
    difference, rows = matched(Reference(judge.folder(), tokens))
    return {"apart": difference, "presets": [asdict(row) for row in rows]}


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    lines = [f"| {' | '.join(COLUMNS)} |", f"|---|{'---:|' * (len(COLUMNS) - 1)}"]
    for name in PRESETS:
        for kind, values in found.get(name, {}).items():
            loss = Loss(**values)
            cells = (
                f"{name} + matrix" if kind == WEIGHED else name,
                f"{loss.size / 1e6:,.1f}",
                f"{loss.bits:.2f}",
                f"{loss.kl:.4f}",
                f"{loss.kl_error:.4f}",
                f"{loss.kl_p99:.3f}",
                f"{loss.ppl_ratio:.3f}",
                f"{100 * loss.same_top:.1f} %",
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def page(kept: Mapping[str, Any], tokens: int) -> str:
    matrices = kept["matrices"]
    return HEAD.format(
        tokens=tokens,
        smollm2=kept[SMOLLM2]["perplexity"],
        smollm2_table=table(kept[SMOLLM2]["presets"]),
        sample=kept[SAMPLE]["perplexity"],
        sample_table=table(kept[SAMPLE]["presets"]),
        apart=matrices["apart"],
        matrices="\n".join(
            f"| {row['preset']} | {row['ours']:.4f} | {row['theirs']:.4f} | "
            f"{row['ours'] - row['theirs']:+.4f} | {row['noise']:.4f} |"
            for row in matrices["presets"]
        ),
    )


def shipped(kept: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the application shows: by preset, what a person gets who chooses nothing else.

    Neither judge is a mixture of experts, so nothing is said of the format for these.
    """
    presets: dict[str, Any] = {}
    for name, kinds in kept[SMOLLM2]["presets"].items():
        presets[name] = dict(kinds.get(PLAIN) or kinds[WEIGHED])
        if len(kinds) > 1:
            presets[name]["with_importance"] = kinds[WEIGHED]
    in_order = {name: presets[name] for name in PRESETS if name in presets and name != EXPERTS}
    return {"model": SMOLLM2, "presets": in_order}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="*", metavar="FORMAT", choices=PRESETS)
    parser.add_argument("--tokens", type=int, default=TOKENS)
    args = parser.parse_args()
    everything = args.only is None
    chosen = [preset for name, preset in PRESETS.items() if everything or name in args.only]
    kept = {} if everything else json.loads(KEPT.read_text(encoding="utf-8"))
    for name, folder in ((SMOLLM2, judge.folder()), (SAMPLE, sample_model())) if chosen else ():
        reference = Reference(folder, args.tokens)
        known = kept.get(name, {}).get("presets", {})
        found = known | measure(reference, chosen)
        kept[name] = {"perplexity": reference.perplexity, "presets": found}
        KEPT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    SHIPPED.write_text(json.dumps(shipped(kept), indent=1) + "\n", encoding="utf-8")
    if everything:
        kept["matrices"] = measure_matrices(args.tokens)
        KEPT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(kept, args.tokens), encoding="utf-8")


if __name__ == "__main__":
    main()
