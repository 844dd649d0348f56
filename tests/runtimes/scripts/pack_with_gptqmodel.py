"""What GPTQModel stores of weights on given grids: NAME.weight, NAME.scales and NAME.zeros in,
NAME.qweight and so on out. A request's kind is "gptq", "gptq2" or "awq".
"""

from __future__ import annotations

from typing import Any

import torch
from asked import answer
from gptqmodel.nn_modules.qlinear.torch import TorchLinear
from gptqmodel.nn_modules.qlinear.torch_awq import AwqTorchLinear
from gptqmodel.quantization.config import QuantizeConfig
from gptqmodel.utils.model import convert_gptq_v2_to_v1_format_module
from safetensors.torch import load_file, save_file


def packed(weight: Any, scales: Any, zeros: Any, asked: dict[str, Any]) -> Any:
    rows, columns = weight.shape
    layer = torch.nn.Linear(columns, rows, bias=False)
    layer.weight.data = weight
    settings = {"bits": asked["bits"], "group_size": asked["group"], "desc_act": False}
    kind = AwqTorchLinear if asked["kind"] == "awq" else TorchLinear
    found = kind(**settings, sym=False, in_features=columns, out_features=rows)
    group = torch.arange(columns, dtype=torch.int32) // (asked["group"] % (columns + 1))
    found.pack(layer, scales, zeros, group)
    if asked["kind"] == "gptq":
        convert_gptq_v2_to_v1_format_module(found, QuantizeConfig(bits=asked["bits"]))
    return found


def run(request: dict[str, Any]) -> dict[str, Any]:
    given, stored = load_file(request["given"]), {}
    for name, asked in request["weights"].items():
        module = packed(*(given[f"{name}.{part}"] for part in ("weight", "scales", "zeros")), asked)
        stored |= {f"{name}.{part}": some for part, some in module.state_dict().items()}
    save_file({name: part.contiguous() for name, part in stored.items()}, request["stored"])
    return {"stored": sorted(stored)}


answer(run)
