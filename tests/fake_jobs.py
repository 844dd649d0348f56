"""Jobs for tests of the window, and programs that pretend to carry them out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from app.core.job import Job, Output
from app.core.recipe import Recipe

_FAKE = Path(__file__).with_name("fake_worker.py")


def program(mode: str) -> list[str]:
    """A command line that behaves like one of ours; see fake_worker.py for the modes."""
    return [sys.executable, str(_FAKE), mode]


def make_job(name: str, device: str = "cpu", preset: str = "Q4_K_M", **rest: Any) -> Job:
    """A job on a model that does not exist; "Q8_0,Q4_0" are two results."""
    outputs = tuple(Output(f"/results/{name}-{one}.gguf", Recipe(one)) for one in preset.split(","))
    return Job(name, f"/models/{name}", outputs, device, **rest)
