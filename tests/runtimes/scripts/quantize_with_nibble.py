"""Quantize a folder as a job of Nibble's does; tells how long it took."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from asked import answer

from app.core.job import Job, Output
from app.core.recipe import Recipe
from app.worker.convert import convert


def run(request: dict[str, Any]) -> dict[str, Any]:
    torch.set_num_threads(request["threads"])
    options = tuple((name, text) for name, text in request["options"])
    recipe = Recipe(request["preset"], request["method"], options=options)
    # The tokens are those that a job cuts from its usual text: their number says it all.
    samples, length = np.load(request["tokens"]).shape
    job = Job(
        "rival",
        request["folder"],
        (Output(request["target"], recipe),),
        threads=request["threads"],
        evaluate=False,
        overwrite=True,
        samples=samples,
        length=length,
    )
    started = time.perf_counter(), time.process_time()
    for _ in convert(job, Path("job")):
        pass
    ended = time.perf_counter(), time.process_time()
    return {"seconds": ended[0] - started[0], "processor": ended[1] - started[1]}


answer(run)
