"""Stands in for `python -m app`: speaks the protocols and does no work.

Usage: fake_worker.py MODE worker | COMMAND ... --json
MODE says how a worker behaves; looking at a model goes by the name of its path. The other
commands are in fake_answers.py.
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
from fake_answers import answer, inspection


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
    for number, output in enumerate(job["outputs"]):
        report = folder / f"report-{number}.json"
        example_report(output["recipe"]["preset"]).save(report)
        say("ResultDone", output=number, report=str(report))
    say("Finished")


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


if __name__ == "__main__":
    match sys.argv[2]:
        case "worker":
            work(sys.argv[1])
        case "inspect" if sys.argv[3].count("/") != 1:
            inspect(Path(sys.argv[3]))
        case _:
            answer(sys.argv[1], sys.argv[2:])
