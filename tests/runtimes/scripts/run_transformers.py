"""Load folders with transformers, read some tokens, and go on with them."""

from __future__ import annotations

from typing import Any

import torch
from asked import answer_each, report
from transformers import AutoModelForCausalLM


def run(request: dict[str, Any], folder: str) -> dict[str, Any]:
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=getattr(torch, request["dtype"]), device_map="cpu"
    ).eval()
    return report(model, request, folder)


answer_each(run)
