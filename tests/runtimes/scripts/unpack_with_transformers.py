"""Load folders with transformers, let it unpack their weights, read some tokens, and go on.

FP8 is unpacked while it is loaded, as anywhere without a graphics card that computes in it.
"""

from __future__ import annotations

from typing import Any

import torch
from asked import answer_each, report
from run_transformers import load


def run(request: dict[str, Any], folder: str) -> dict[str, Any]:
    dtype = getattr(torch, request["dtype"])
    model = load(folder, dtype)
    modules = sorted({type(module).__name__ for module in model.modules()})
    if hasattr(model, "is_loaded_in_4bit") or hasattr(model, "is_loaded_in_8bit"):
        for weight in model.parameters():
            if hasattr(weight, "quant_state"):
                weight.quant_state.dtype = dtype  # bitsandbytes would round them to 16 bits
        model = model.dequantize(dtype)
    # What is not quantized stays in the file's 16 bits, whatever was asked for.
    torch.nn.Module.to(model, dtype)
    return report(model, request, folder) | {"modules": modules}


answer_each(run)
