"""Load folders with mlx-lm, read some tokens, and go on with them."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from asked import LOGITS, answer_each
from mlx_lm import load
from mlx_lm.generate import generate_step


def run(request: dict[str, Any], folder: str) -> dict[str, Any]:
    model, _ = load(folder)
    model.set_dtype(getattr(mx, request["dtype"]))  # of scales, and so of what is computed
    tokens = mx.array(request["tokens"])
    np.save(Path(folder) / LOGITS, np.array(model(tokens).astype(mx.float32)))
    steps = islice(generate_step(tokens[0], model), request["more"])
    modules = sorted({type(module).__name__ for _, module in model.named_modules()})
    return {"generated": [int(token) for token, _ in steps], "modules": modules}


answer_each(run)
