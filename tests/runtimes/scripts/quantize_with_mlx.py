"""What mlx.core makes of weights, NAME.weight and so on, and what it reads there (safetensors)."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
from asked import answer


def run(request: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for name, weight in mx.load(request["given"]).items():
        settings = request["weights"][name]
        parts = mx.quantize(weight, **settings)
        found |= {
            f"{name}.{part}": some
            for part, some in zip(("weight", "scales", "biases"), parts, strict=True)
        }
        found[f"{name}.read"] = mx.dequantize(*parts, **settings)
    mx.save_safetensors(request["stored"], found)
    return {"stored": sorted(found)}


answer(run)
