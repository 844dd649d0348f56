"""One pass against two steps: safetensors to Q4_K_M, side by side in one run.

    python tests/benchmarks/whole_job.py [--layers N] [--rounds N]

Two steps is what people do today: a BF16 file first, then llama.cpp's quantizer on it. For the
first step our own writer stands in, which is faster than the usual script; so the ratio is a
careful one. Both use every processor thread, both end on the same disk, and the rounds
alternate, because other programs disturb.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

import llama_cpp
from checkpoints import write_llama

from app.core.job import Job, Output
from app.core.recipe import Recipe
from app.worker.convert import convert

Q4_K_M = 15
"""Its number in llama.h."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size = {"hidden": 2048, "inner": 5632, "heads": 32, "kv_heads": 8}
        nbytes = write_llama(folder / "model", layers=args.layers, **size)
        print(f"{nbytes / 1e9:.2f} GB of BF16 weights")
        one_pass(folder)  # once for what is compiled or read into memory the first time
        times = [(timed(one_pass, folder), timed(two_steps, folder)) for _ in range(args.rounds)]
        for ours, theirs in times:
            print(f"one pass {ours:6.2f} s   two steps {theirs:6.2f} s   {theirs / ours:5.1f} x")
        print(f"median ratio {median(theirs / ours for ours, theirs in times):.1f} x")


def timed(work: Callable[[Path], None], folder: Path) -> float:
    start = time.perf_counter()
    work(folder)
    return time.perf_counter() - start


def one_pass(folder: Path) -> None:
    run(folder, "Q4_K_M")


def two_steps(folder: Path) -> None:
    run(folder, "BF16")
    llama_cpp.quantize(folder / "BF16.gguf", folder / "two.gguf", Q4_K_M)


def run(folder: Path, preset: str) -> None:
    """The whole job: plan, quantize, make durable, read back and check."""
    source, target = str(folder / "model"), str(folder / f"{preset}.gguf")
    job = Job("b", source, (Output(target, Recipe(preset)),), evaluate=False, overwrite=True)
    (folder / "written-0.json").unlink(missing_ok=True)
    for _ in convert(job, folder):
        pass


if __name__ == "__main__":
    main()
