"""Stands in for `python -m app`: speaks the protocols and does no work.

Usage: fake_worker.py MODE worker | inspect PATH --json | hardware --json
MODE says how a worker behaves; looking at a model goes by the name of PATH.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from example_report import example_report


def put(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def say(event: str, **fields: object) -> None:
    put(json.dumps({"event": event, **fields}))


def progress(share: float, phase: str = "quantize") -> None:
    total = 16_000_000_000
    item = "layer 4 of 8" if phase == "evaluate" else "blk.3.ffn_up.weight"
    say("Progress", phase=phase, done=int(share * total), total=total, item=item,
        overall=share, speed=410e6, host_bytes=0, device_bytes=0)  # fmt: skip


def succeed(job: dict[str, Any]) -> None:
    put("a stray print from some library")
    say("Note", text="3 parts take a larger format.")
    folder = Path(os.environ["NIBBLE_HOME"]) / "jobs" / job["id"]
    example_report(job["recipe"]["preset"]).save(folder / "report.json")
    say("Finished", report=str(folder / "report.json"))


def crash(job: dict[str, Any]) -> None:
    sys.stderr.write("CUDA went away\n")
    sys.stderr.flush()
    os.kill(os.getpid(), signal.SIGKILL)


def leave(job: dict[str, Any]) -> None:
    sys.exit(3)


def fail(job: dict[str, Any]) -> None:
    say("Failed", kind="space", title="The disk is full.", hint="Make room.", details="28")


def flood(job: dict[str, Any]) -> None:
    put("x" * 300_000)
    say("Cancelled")


def patient(job: dict[str, Any]) -> None:
    if sys.stdin.readline() == "cancel\n":
        say("Cancelled")


def steady(job: dict[str, Any]) -> None:
    """A slow job that goes on for a minute."""
    for step in range(300):
        progress(0.25 + step / 900)
        time.sleep(0.2)


def deaf(job: dict[str, Any]) -> None:
    time.sleep(60)


def measure(job: dict[str, Any]) -> None:
    progress(0.9, "evaluate")
    patient(job)


def work(mode: str) -> None:
    job = json.loads(sys.stdin.readline())
    say("Started", pid=os.getpid(), device=job["device"])
    progress(0.25)
    behaviours = (succeed, crash, leave, fail, flood, patient, steady, deaf, measure)
    {behaviour.__name__: behaviour for behaviour in behaviours}[mode](job)


def inspect(path: Path) -> None:
    if path.name == "slow":
        time.sleep(60)
    if path.name == "garbage":
        put("not json")
        return
    if path.name == "broken":
        error = {
            "title": "The file broken is not a model.",
            "hint": "Choose another.",
            "details": "x",
        }
        put(json.dumps({"error": error}))
        sys.exit(2)
    put(json.dumps(inspection(path)))


def inspection(path: Path) -> dict[str, object]:
    def choice(
        preset: str, nbytes: int, bits: float, quality: str, summary: str
    ) -> dict[str, object]:
        return {
            "preset": preset, "format": "gguf", "runs_in": "llama.cpp, Ollama, LM Studio",
            "extension": ".gguf", "summary": summary, "quality": quality,
            "recommended": preset == "Q4_K_M", "nbytes": nbytes, "bits_per_weight": bits,
            "fallbacks": [], "notes": [], "problem": None,
        }  # fmt: skip

    small = choice("Q4_K_M", 5_027_000_000, 4.91, "small loss", "The usual choice.")
    small["fallbacks"] = [
        {"tensor": f"blk.{layer}.ffn_down.weight", "wanted": "Q4_K", "encoding": "Q5_0",
         "extra_bytes": 1_300_000} for layer in range(3)
    ]  # fmt: skip
    ternary = choice("TQ1_0", 0, 0.0, "broken", "Three values a weight.")
    ternary["problem"] = {"title": "This model was not trained for it.", "hint": "Choose Q2_K."}
    return {
        "model": {
            "path": str(path), "name": path.name, "kind": "safetensors", "architecture": "Qwen3",
            "weights": 8_190_735_360, "nbytes": 16_381_470_720, "dtype": "BF16",
            "context": 40_960, "layers": 36, "hidden": 4096, "vocabulary": 151_936,
        },
        "choices": [
            choice("BF16", 16_388_000_000, 16.0, "the original", "The weights as they are."),
            choice("Q8_0", 8_709_000_000, 8.5, "practically the original", "For plenty of memory."),
            choice("Q6_K", 6_726_000_000, 6.56, "practically the original", "Hard to tell apart."),
            choice("Q5_K_M", 5_851_000_000, 5.7, "very small loss", "A little better than usual."),
            choice("Q5_K_S", 5_720_000_000, 5.6, "very small loss", "A little smaller."),
            small,
            choice("Q4_K_S", 4_802_000_000, 4.7, "small loss", "A little smaller than usual."),
            choice("Q3_K_M", 4_124_000_000, 4.0, "visible loss", "Where memory is short."),
            choice("Q2_K", 3_281_000_000, 3.2, "heavy loss", "When nothing else fits."),
            ternary,
        ],
    }  # fmt: skip


def hardware() -> None:
    memory = {"name": "Memory", "total": 32_000_000_000, "free": 21_000_000_000}
    card = {"name": "NVIDIA GeForce RTX 4070", "total": 12_000_000_000, "free": 8_900_000_000}
    cpu = {"name": "AMD Ryzen 7 7700", "cores": 8, "threads": 16}
    put(json.dumps({"cpu": cpu, "memory": memory, "gpus": [card], "disks": []}))


if __name__ == "__main__":
    match sys.argv[2]:
        case "worker":
            work(sys.argv[1])
        case "inspect":
            inspect(Path(sys.argv[3]))
        case "hardware":
            hardware()
