"""What all scripts begin and end with: `script.py request.json answer.json`."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

LOGITS = "logits.npy"
"""What a model predicts, float32, (texts, length, vocabulary); lies in the model's folder."""


def answer(work: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Give `work` the request, and write down what it returns."""
    asked, answered = map(Path, sys.argv[1:])
    found = work(json.loads(asked.read_text(encoding="utf-8")))
    answered.write_text(json.dumps(found), encoding="utf-8")


def answer_each(work: Callable[[dict[str, Any], str], dict[str, Any]]) -> None:
    """Give `work` each of the request's folders; what it raises is the answer for that one."""

    def tried(request: dict[str, Any], folder: str) -> dict[str, Any]:
        try:
            return work(request, folder)
        except Exception:  # noqa: BLE001 - whatever a library raises is its answer
            return {"error": traceback.format_exc()}

    answer(lambda request: {folder: tried(request, folder) for folder in request["folders"]})


def report(model: Any, request: dict[str, Any], folder: str) -> dict[str, Any]:
    """What a model of transformers says: logits into its folder, and how it goes on."""
    import numpy as np
    import torch

    tokens = torch.tensor(request["tokens"])
    with torch.no_grad():
        np.save(Path(folder) / LOGITS, model(tokens).logits.float().numpy())
        longer = model.generate(tokens[:1], max_new_tokens=request["more"], do_sample=False)
    modules = sorted({type(module).__name__ for module in model.modules()})
    return {"generated": longer[0, tokens.shape[1] :].tolist(), "modules": modules}
