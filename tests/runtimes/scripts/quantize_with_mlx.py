"""What mlx.core stores for matrices: {name: weight} in, {name.part: ...} out, as safetensors."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
from asked import answer


def run(request: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for name, weight in mx.load(request["weights"]).items():
        for bits in request["bits"]:
            for group in request["groups"]:
                parts = mx.quantize(weight, group_size=group, bits=bits)
                key = f"{name}.{bits}.{group}"
                found |= {
                    f"{key}.{part}": some
                    for part, some in zip(("weight", "scales", "biases"), parts, strict=True)
                }
                found[f"{key}.read"] = mx.dequantize(*parts, group_size=group, bits=bits)
    mx.save_safetensors(request["stored"], found)
    return {"parts": sorted(found)}


answer(run)
