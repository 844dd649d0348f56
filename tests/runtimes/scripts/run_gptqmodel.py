"""Load folders with GPTQModel, read some tokens, and go on with them."""

from __future__ import annotations

from typing import Any

import torch
from asked import answer_each, report
from gptqmodel import BACKEND, GPTQModel


def run(request: dict[str, Any], folder: str) -> dict[str, Any]:
    # Its faster kernels refuse some groups, and compile for a minute.
    dtype = getattr(torch, request["dtype"])
    model = GPTQModel.load(folder, device="cpu", backend=BACKEND.TORCH, dtype=dtype)
    return report(model.model, request, folder)


answer_each(run)
