"""A large model as one job: memory, time, waiting for the disk; and three results at once.

    python tests/benchmarks/large_job.py [--gigabytes N] [--folder FOLDER] [--results FOLDER]

Makes a Llama of random BF16 weights with layers of an 8 B model; twice the room that it takes has
to be free. Where the disk writes slowly, name a folder in memory for the results. Every job runs
in a process of its own. What the disk costs is the difference between a run whose source the
system has dropped from its cache and one whose source is in it. The figures are kept in
tests/benchmarks/large_job.json, for docs/speed.md. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]

from checkpoints import write_llama

from app.core.job import Job, Output
from app.formats import find_preset
from app.worker.convert import convert
from app.worker.work import available_threads

KEPT = Path(__file__).with_suffix(".json")
LAYER = 436e6
"""Bytes of one layer."""
THREE = ("Q8_0", "Q5_K_M", "Q4_K_M")
LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Run:
    """One job in a process of its own."""

    formats: tuple[str, ...]
    seconds: float
    cpu_seconds: float
    """Processor time of all threads; other programs disturb it less."""
    peak: int
    """Most bytes resident at any time, pages of the source's files included."""
    peak_own: int
    """Without pages of files, which the system may take back."""


def run(model: Path, results: Path, *formats: str) -> Run:
    """Make the formats in one job; "w4a16-g128/gptq/8" names a method and its windows, too."""
    os.sync()  # what an earlier one has written is not this one's business
    start, cpu_start = time.perf_counter(), _cpu_seconds()
    command = [sys.executable, __file__, "--work", str(model), str(results), *formats]
    process = subprocess.Popen(command)
    peak = peak_own = 0
    while process.poll() is None:
        peak = max(peak, _resident(process.pid, "VmRSS"))
        peak_own = max(peak_own, _resident(process.pid, "RssAnon"))
        time.sleep(LOOK_SECONDS)
    if process.returncode:
        raise SystemExit(process.returncode)
    seconds, cpu_seconds = time.perf_counter() - start, _cpu_seconds() - cpu_start
    found = Run(formats, seconds, cpu_seconds, peak, peak_own)
    memory = f"{peak / 1e6:,.0f} MB, {peak_own / 1e6:,.0f} MB its own"
    print(f"{'+'.join(formats):22} {found.seconds:6.1f} s  {memory}", flush=True)
    return found


def work(model: Path, results: Path, formats: list[str]) -> None:
    """In the process of its own: the whole job but its measuring."""
    parts = [(*name.split("/"), "", "")[:3] for name in formats]
    outputs = tuple(_output(results, name, method) for name, method, _ in parts)
    samples = max(int(windows or 0) for *_, windows in parts)
    job = Job("large", str(model), outputs, evaluate=False, overwrite=True, samples=samples)
    with tempfile.TemporaryDirectory(dir=results) as reports:
        for _ in convert(job, Path(reports)):
            pass
    for target in (Path(output.target) for output in outputs):
        shutil.rmtree(target) if target.is_dir() else target.unlink()


def _output(results: Path, name: str, method: str) -> Output:
    form, preset = find_preset(name)
    recipe = replace(preset.recipe(), method=method) if method else preset.recipe()
    return Output(str(results / f"{name}-{method}{form.extension}"), recipe)


def _cpu_seconds() -> float:
    """Of all processes that were started here and have ended."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def _resident(pid: int, field: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def drop_from_cache(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure(model: Path, results: Path, gigabytes: float) -> dict[str, object]:
    size = {"hidden": 4096, "inner": 14336, "heads": 32, "kv_heads": 8}
    layers = max(1, round(gigabytes * 1e9 / LAYER))
    nbytes = write_llama(model, layers=layers, **size)
    print(f"{nbytes / 1e9:.2f} GB of BF16 weights", flush=True)
    drop_from_cache(model / "model.safetensors")
    cold = run(model, results, "Q4_K_M")
    warm = run(model, results, "Q4_K_M")
    single = [run(model, results, name) for name in THREE]
    together = run(model, results, *THREE)
    return {
        "bytes": nbytes,
        "threads": available_threads(),
        "cold": asdict(cold),
        "warm": asdict(warm),
        "single": [asdict(one) for one in single],
        "together": asdict(together),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=8)
    parser.add_argument("--folder", type=Path, help="where there is room (default: temporary)")
    parser.add_argument("--results", type=Path, help="where results go (default: the same place)")
    parser.add_argument("--work", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        work(Path(args.work[0]), Path(args.work[1]), args.work[2:])
        return
    with (
        tempfile.TemporaryDirectory(dir=args.folder) as name,
        tempfile.TemporaryDirectory(dir=args.results or name) as results,
    ):
        kept = measure(Path(name) / "model", Path(results), args.gigabytes)
        kept["results_apart"] = bool(args.results)
    KEPT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
