"""Load folders with transformers, read some tokens, and go on with them."""

from __future__ import annotations

from typing import Any

import torch
from asked import answer_each, report
from transformers import AutoModelForCausalLM


def load(folder: str, dtype: torch.dtype) -> Any:
    """The model, of which nothing is missing, and to which nothing is added."""
    model, told = AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, device_map="cpu", output_loading_info=True
    )
    assert not any(told.values()), told
    return model.eval()


def run(request: dict[str, Any], folder: str) -> dict[str, Any]:
    return report(load(folder, getattr(torch, request["dtype"])), request, folder)


if __name__ == "__main__":
    answer_each(run)
